//! The sum-check over random projections of the records of a shard (SPEC B3, B4), without any mask.
//!
//! With `w_l(i) = sum_v beta_l(v) x_iv` the summand is `sum_l lambda^l alpha_l(i) w_l(i)`, and bits `alpha`, `beta` come in
//! bytes, one for eight projections, a *place*.
//!
//! * Cut the accounts into blocks of 32. The projections and rounds 1 to 5 follow from small integers alone,
//!   `G_l(j, k)`, the sum over the blocks of `alpha_l(j) w_l(k)`: combined to `M(j, k) = sum_l lambda^l G_l(j, k)`, a round
//!   is read off `M`, and a bind folds both of its indices. Four blocks are a group: what it adds for an account `j` is
//!   one of the 16 sums of some of the four.
//! * Then the records of a block are folded to one, and projected again: `w_l` is a sum of field elements, one for each
//!   column that the block uses.
//! * All projections look up sums of some of six entries, which a table has for all of them.
//! * What is left is a scalar `alpha_l` and a scalar `w_l` for each block, which ordinary rounds bind. The sums of a round
//!   are taken while its entries are made.
//! * Eight places are an *octet*. The loops go over few octets at once, so that what they add to stays in the cache.

use core::mem;

use crate::csr::Csr;
use crate::error::{Refused, room};
use crate::fold::fold_sparse;
use crate::parallel::{map_ranges, map_rows};
use crate::scalar::{Products, Scalar, SignedProducts};

/// Rounds in small integers.
const BLOCK_ROUNDS: usize = 5;

/// Accounts of a block.
const BLOCK: usize = 1 << BLOCK_ROUNDS;

/// Blocks whose sums are looked up together.
const GROUP: usize = 4;

/// Groups that are added together.
const GROUPS: usize = 4;

/// Projections of a place.
const LANES: usize = 8;

/// Places of an octet.
const OCTET: usize = 8;

/// Octets whose sums are in the cache at once.
const TILE: usize = 2;

/// Entries of one table of sums.
const TABLE_ENTRIES: usize = 6;

/// Sums of one table.
const TABLE_SIZE: usize = 1 << TABLE_ENTRIES;

/// Tables that are looked up together.
const TABLES: usize = 4;

/// Accounts whose `w_l` are in memory at once.
const CHUNK: usize = GROUPS * GROUP * BLOCK;

/// Bits of the lower half of a record, where the sum of all magnitudes does not fit 63 bits.
const HALF_BITS: u32 = 31;

/// Entries whose halves have sums in 63 bits.
const MAX_ENTRIES: usize = 1 << 30;

/// Columns beyond which memory would be asked for that no machine has.
const MAX_COLUMNS: usize = 1 << 20;

/// For every byte its bits, each in a byte of its own.
static SPREAD: [u64; 256] = spread();

/// Why nothing follows once a bind did not end.
const BROKEN: Refused = Refused::Invalid("a sum-check whose last challenge was not bound");

/// One value for each of the projections of a place.
type Lanes = [i64; LANES];

/// The bits of the places of an octet, each in a byte of its own.
type Octet = [u64; OCTET];

/// `G_l(j, k)` of one projection.
type BlockSums = [[i64; BLOCK]; BLOCK];

/// `G_l(j, k)` of all projections: `sums`, plus `2^31 highs` where the records are projected in halves.
struct Projected {
    sums: Vec<BlockSums>,
    highs: Vec<BlockSums>,
}

/// State of one sum-check: read the `projections`, `combine` them, then alternate `round` and `bind`, once for each
/// variable, and ask for the `weights` and the `record`.
pub struct RecordSumcheck {
    starts: Vec<i64>,
    indices: Vec<i64>,
    data: Vec<i64>,
    columns: usize,
    alpha: Vec<u8>,
    /// Bytes of all rows of beta.
    beta: Vec<u8>,
    /// The same for each octet, those of a column together.
    octets: Vec<Octet>,
    threads: usize,
    /// Bytes of a row of alpha or beta.
    places: usize,
    variables: usize,
    /// `lambda^l`, once it is known.
    powers: Vec<Scalar>,
    challenges: Vec<Scalar>,
    /// The coefficients of the round, once they are known.
    coefficients: Option<[Scalar; 2]>,
    stage: Stage,
}

enum Stage {
    /// Before lambda.
    Sums(Projected),
    /// Rounds 1 to 5: `M`, row by row.
    Blocks(Vec<Vec<Scalar>>),
    /// Later rounds: `alpha_l` and `w_l` of each block, those of a block together, and the sum over the cube.
    Entries { alphas: Vec<Scalar>, sums: Vec<Scalar>, claim: Scalar },
    /// A bind did not end: nothing is left to go on with.
    Broken,
}

impl RecordSumcheck {
    /// Starts with records and the bits of the projections: as many blocks of alpha as there are accounts, as many of beta
    /// as columns; the records of the last accounts may be missing.
    ///
    /// # Errors
    /// Rows are broken, or beyond the columns; blocks are not of one length, or alpha is not for a power of two of
    /// accounts, or there are more records; there are more than 2^20 columns, or sums that do not fit 63 bits.
    #[allow(clippy::too_many_arguments)] // as many as the operation has
    pub fn new(
        starts: Vec<i64>,
        indices: Vec<i64>,
        data: Vec<i64>,
        columns: usize,
        alpha: Vec<u8>,
        beta: Vec<u8>,
        threads: usize,
    ) -> Result<Self, Refused> {
        if columns == 0 || columns > MAX_COLUMNS {
            return Err(Refused::Invalid("columns: from 1 to 2^20"));
        }
        let places = beta.len() / columns;
        if places == 0 || places * columns != beta.len() {
            return Err(Refused::Invalid("bits of columns: must be a block for each"));
        }
        let accounts = alpha.len() / places;
        if accounts * places != alpha.len() || !accounts.is_power_of_two() {
            return Err(Refused::Invalid(
                "bits of accounts: must be blocks for a power of two, as long as those of columns",
            ));
        }
        let rows = Csr::new(&starts, &indices, &data)?;
        rows.expect_columns(columns)?;
        if rows.rows() > accounts {
            return Err(Refused::Invalid("more records than accounts"));
        }
        let octets = spread_rows(&beta, places, columns)?;
        let sums = block_sums(&rows, &data, &alpha, &octets, places, threads)?;
        let variables = accounts.trailing_zeros() as usize;
        Ok(Self {
            starts,
            indices,
            data,
            columns,
            alpha,
            beta,
            octets,
            threads,
            places,
            variables,
            powers: Vec::new(),
            challenges: Vec::new(),
            coefficients: None,
            stage: Stage::Sums(sums),
        })
    }

    /// Returns the sum over all `i, v` of `alpha_l(i) beta_l(v) x_iv` for every `l`.
    ///
    /// # Errors
    /// The projections are combined already.
    pub fn projections(&self) -> Result<Vec<i128>, Refused> {
        let Stage::Sums(sums) = &self.stage else {
            return Err(Refused::Invalid("the projections are combined already"));
        };
        let trace = |sums: &BlockSums| -> i128 { (0..BLOCK).map(|at| i128::from(sums[at][at])).sum() };
        let mut projections: Vec<i128> = sums.sums.iter().map(trace).collect();
        for (projection, highs) in projections.iter_mut().zip(&sums.highs) {
            *projection += trace(highs) << HALF_BITS;
        }
        Ok(projections)
    }

    /// Weighs projection `l` by `lambda^l` from here on.
    ///
    /// # Errors
    /// The projections are combined already, or memory runs out.
    pub fn combine(&mut self, challenge: Scalar) -> Result<(), Refused> {
        let Stage::Sums(sums) = &self.stage else {
            return Err(Refused::Invalid("the projections are combined already"));
        };
        let width = sums.sums.len();
        let mut powers = Vec::with_capacity(width);
        powers.push(Scalar::ONE);
        while powers.len() < width {
            powers.push(powers[powers.len() - 1] * challenge);
        }
        let size = 1 << self.variables.min(BLOCK_ROUNDS);
        let weigh = |sums: &[BlockSums], row: usize| {
            let mut weighted = [SignedProducts::default(); BLOCK];
            for (weight, sums) in powers.iter().zip(sums) {
                for (weighted, &sum) in weighted.iter_mut().zip(&sums[row]).take(size) {
                    weighted.add(weight, sum);
                }
            }
            weighted.map(|weighted| weighted.reduce())
        };
        let shift = Scalar::from_limbs([1 << HALF_BITS, 0, 0, 0]);
        let entries = |row| -> Vec<Scalar> {
            let mut entries = weigh(&sums.sums, row);
            if !sums.highs.is_empty() {
                for (entry, high) in entries.iter_mut().zip(weigh(&sums.highs, row)) {
                    *entry += shift * high;
                }
            }
            entries[..size].to_vec()
        };
        let matrix = map_rows(size, self.threads, |range| range.map(entries).collect());
        self.powers = powers;
        self.stage = Stage::Blocks(matrix);
        if self.variables == 0 { self.unfold() } else { Ok(()) }
    }

    /// Returns the coefficients `p_1` and `p_2` of the round.
    ///
    /// # Errors
    /// The projections are not combined, every variable is bound, or the last bind failed.
    pub fn round(&mut self) -> Result<[Scalar; 2], Refused> {
        self.expect_round()?;
        if let Some(coefficients) = self.coefficients {
            return Ok(coefficients);
        }
        let coefficients = self.sum_pairs()?;
        self.coefficients = Some(coefficients);
        Ok(coefficients)
    }

    fn sum_pairs(&self) -> Result<[Scalar; 2], Refused> {
        // Those of later rounds are known since their entries were made.
        let Stage::Blocks(matrix) = &self.stage else {
            return Err(BROKEN);
        };
        let mut coefficients = [Scalar::ZERO; 2];
        for at in (0..matrix.len()).step_by(2) {
            let ([low, right], [left, high]) =
                ([matrix[at][at], matrix[at][at + 1]], [matrix[at + 1][at], matrix[at + 1][at + 1]]);
            coefficients[0] += left + right - low.double();
            coefficients[1] += low - left - right + high;
        }
        Ok(coefficients)
    }

    /// Fixes the variable of the round to a challenge.
    ///
    /// # Errors
    /// The projections are not combined, every variable is bound, the last bind failed, or memory runs out.
    pub fn bind(&mut self, challenge: Scalar) -> Result<(), Refused> {
        let [first, second] = self.round()?;
        self.coefficients = None;
        let bound = |low: Scalar, high: Scalar| low + challenge * (high - low);
        match mem::replace(&mut self.stage, Stage::Broken) {
            Stage::Blocks(matrix) => {
                let folded = matrix.chunks_exact(2).map(|rows| {
                    let row: Vec<Scalar> = rows[0].iter().zip(&rows[1]).map(|(&low, &high)| bound(low, high)).collect();
                    row.chunks_exact(2).map(|pair| bound(pair[0], pair[1])).collect()
                });
                self.stage = Stage::Blocks(folded.collect());
            }
            Stage::Entries { alphas, sums, claim } => {
                let width = self.powers.len();
                let fold = |entries: &[Scalar], pair: usize, folded: &mut Vec<Scalar>| {
                    let (low, high) = halves(entries, pair, width);
                    folded.extend(low.iter().zip(high).map(|(&low, &high)| bound(low, high)));
                };
                // p(rho) = p_0 + p_1 rho + p_2 rho^2, and p_0 + p_0 + p_1 + p_2 is the claim.
                let twice = claim - first - second;
                let claim = twice * HALF + challenge * (first + challenge * second);
                self.enter(alphas.len() / (2 * width), claim, || {
                    Ok(|pair: usize, folded: &mut [Vec<Scalar>; 2]| {
                        fold(&alphas, pair, &mut folded[0]);
                        fold(&sums, pair, &mut folded[1]);
                    })
                })?;
            }
            Stage::Sums(_) | Stage::Broken => return Err(BROKEN),
        }
        self.challenges.push(challenge);
        if self.challenges.len() == self.variables.min(BLOCK_ROUNDS) { self.unfold() } else { Ok(()) }
    }

    /// Returns `sum_l lambda^l alpha_l(rho) beta_l(v)` for every column `v`, at the point `rho` of all challenges.
    ///
    /// # Errors
    /// A variable is not bound, the last bind failed, or memory runs out.
    pub fn weights(&self) -> Result<Vec<Scalar>, Refused> {
        let alphas = self.expect_end()?;
        let weighted: Vec<Scalar> = self.powers.iter().zip(alphas).map(|(&power, &alpha)| power * alpha).collect();
        let tables: Vec<_> = weighted.chunks(LANES).map(subset_sums).collect();
        let mut weights = room(self.columns)?;
        weights.extend(self.beta.chunks_exact(self.places).map(|bits| {
            bits.iter().zip(&tables).fold(Scalar::ZERO, |sum, (&byte, table)| sum + table[usize::from(byte)])
        }));
        Ok(weights)
    }

    /// Returns the record at the point `rho` of all challenges, `sum_i eq(rho, i) x_iv` for every column `v`.
    ///
    /// # Errors
    /// A variable is not bound, the last bind failed, or memory runs out.
    pub fn record(&self) -> Result<Vec<Scalar>, Refused> {
        self.expect_end()?;
        let rows = Csr::new(&self.starts, &self.indices, &self.data)?;
        let weights = Scalar::eq_table(&self.challenges);
        fold_sparse(&rows, self.columns, &weights[..rows.rows()], self.threads)
    }

    fn expect_end(&self) -> Result<&[Scalar], Refused> {
        match &self.stage {
            Stage::Entries { alphas, .. } if self.challenges.len() == self.variables => Ok(alphas),
            Stage::Broken => Err(BROKEN),
            _ => Err(Refused::Invalid("not every variable is bound")),
        }
    }

    fn expect_round(&self) -> Result<(), Refused> {
        match &self.stage {
            Stage::Sums(_) => Err(Refused::Invalid("the projections are not combined")),
            Stage::Broken => Err(BROKEN),
            _ if self.challenges.len() == self.variables => Err(Refused::Invalid("every variable is bound")),
            _ => Ok(()),
        }
    }

    /// Makes entries `alpha_l` and `w_l`, and with them the coefficients of their round.
    ///
    /// `start` returns what appends the entries of a number to two lists.
    fn enter<Append: FnMut(usize, &mut [Vec<Scalar>; 2])>(
        &mut self,
        count: usize,
        claim: Scalar,
        start: impl Fn() -> Result<Append, Refused> + Sync,
    ) -> Result<(), Refused> {
        let width = self.powers.len();
        let step = count.min(2);
        let parts = map_ranges(count / step, self.threads, |range| {
            let mut entries = [room(step * width * range.len())?, room(step * width * range.len())?];
            let [mut lows, mut squares] = [vec![Products::default(); width], vec![Products::default(); width]];
            let mut append = start()?;
            for (at, number) in range.enumerate() {
                for number in step * number..step * (number + 1) {
                    append(number, &mut entries);
                }
                if step < 2 {
                    continue;
                }
                let ([alpha, others], [sum, further]) = {
                    let [(alpha, others), (sum, further)] = [0, 1].map(|list: usize| halves(&entries[list], at, width));
                    ([alpha, others], [sum, further])
                };
                let values = alpha.iter().zip(others).zip(sum.iter().zip(further));
                for (((alpha, other), (sum, further)), (low, square)) in values.zip(lows.iter_mut().zip(&mut squares)) {
                    low.add(alpha, sum);
                    square.add(&(*other - *alpha), &(*further - *sum));
                }
            }
            Ok((entries, [self.weigh(&lows), self.weigh(&squares)]))
        });
        let [mut alphas, mut sums, mut low, mut square] = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
        for part in parts {
            let ([more_alphas, more_sums], [more_low, more_square]) = part?;
            if alphas.is_empty() {
                (alphas, sums) = (more_alphas, more_sums);
            } else {
                alphas.extend(more_alphas);
                sums.extend(more_sums);
            }
            low.push(more_low);
            square.push(more_square);
        }
        let total = |parts: Vec<Scalar>| parts.into_iter().fold(Scalar::ZERO, |sum, part| sum + part);
        let (low, square) = (total(low), total(square));
        // p(0) + p(1) is the claim.
        self.coefficients = Some([claim - low.double() - square, square]);
        self.stage = Stage::Entries { alphas, sums, claim };
        Ok(())
    }

    /// Returns `sum_l lambda^l sums_l`.
    fn weigh(&self, sums: &[Products]) -> Scalar {
        let mut weighted = Products::default();
        for (weight, sum) in self.powers.iter().zip(sums) {
            weighted.add(weight, &sum.reduce());
        }
        weighted.reduce()
    }

    /// Turns each block into a scalar `alpha_l` and a scalar `w_l` for every `l`, once its variables are bound.
    fn unfold(&mut self) -> Result<(), Refused> {
        let Stage::Blocks(matrix) = mem::replace(&mut self.stage, Stage::Broken) else {
            return Err(BROKEN);
        };
        let weights = Scalar::eq_table(&self.challenges);
        let places = self.places;
        let blocks = self.alpha.len() / places / weights.len();
        let mut bits = weights.clone();
        bits.resize(BLOCK, Scalar::ZERO);
        let tables: Vec<_> = bits.chunks(LANES).map(subset_sums).collect();
        let alpha = mem::take(&mut self.alpha);
        let octets = mem::take(&mut self.octets);
        let records = [&mut self.starts, &mut self.indices, &mut self.data].map(mem::take);
        let rows = Csr::new(&records[0], &records[1], &records[2])?;
        let columns = self.columns;
        self.enter(blocks, matrix[0][0], || {
            let mut folder = Folder::new(columns, octets.len() / columns)?;
            let (alpha, octets, rows, weights, tables) = (&alpha, &octets, &rows, &weights, &tables);
            Ok(move |block: usize, entries: &mut [Vec<Scalar>; 2]| {
                let bits = &alpha[block * weights.len() * places..(block + 1) * weights.len() * places];
                for place in 0..places {
                    let mut sums = [Scalar::ZERO; LANES];
                    for (bits, table) in bits.chunks(LANES * places).zip(tables) {
                        let patterns = gather(bits.iter().skip(place).step_by(places));
                        for (sum, pattern) in sums.iter_mut().zip(patterns.to_le_bytes()) {
                            *sum += table[usize::from(pattern)];
                        }
                    }
                    entries[0].extend(sums);
                }
                folder.fold(rows, block * weights.len(), weights);
                folder.project(octets, places * LANES, &mut entries[1]);
            })
        })?;
        [self.starts, self.indices, self.data] = records;
        Ok(())
    }
}

/// One half.
const HALF: Scalar =
    Scalar::from_limbs([0xDFE9_2F46_681B_20A1, 0x5D57_6E73_57A4_501D, u64::MAX, 0x7FFF_FFFF_FFFF_FFFF]);

/// Folds the records of a block to one, and projects it.
struct Folder {
    /// Sums by column, of the columns in use.
    sums: Vec<SignedProducts>,
    used: Vec<bool>,
    /// The columns in use.
    columns: Vec<usize>,
    /// For each few columns the sums of some of their sums; the first is 0.
    tables: Box<[[Loose; TABLE_SIZE]; TABLES]>,
    /// The projections of all octets.
    projections: Vec<[[Loose; LANES]; OCTET]>,
}

impl Folder {
    fn new(columns: usize, octets: usize) -> Result<Self, Refused> {
        let (mut sums, mut used) = (room(columns)?, room(columns)?);
        sums.resize(columns, SignedProducts::default());
        used.resize(columns, false);
        let tables = Box::new([[[0; LOOSE_LIMBS]; TABLE_SIZE]; TABLES]);
        let projections = vec![[[[0; LOOSE_LIMBS]; LANES]; OCTET]; octets];
        Ok(Self { sums, used, columns: Vec::new(), tables, projections })
    }

    /// Sums the records from the first on, each with its weight.
    fn fold(&mut self, rows: &Csr<'_>, first: usize, weights: &[Scalar]) {
        for (row, weight) in (first..rows.rows()).zip(weights) {
            for (column, value) in rows.entries(rows.positions(row..row + 1)) {
                if !mem::replace(&mut self.used[column], true) {
                    self.columns.push(column);
                    self.sums[column] = SignedProducts::default();
                }
                self.sums[column].add(weight, value);
            }
        }
    }

    /// Appends so many projections of the sums, and forgets them.
    fn project(&mut self, octets: &[Octet], width: usize, entries: &mut Vec<Scalar>) {
        self.projections.fill([[[0; LOOSE_LIMBS]; LANES]; OCTET]);
        for columns in self.columns.chunks(TABLES * TABLE_ENTRIES) {
            for (table, columns) in self.tables.iter_mut().zip(columns.chunks(TABLE_ENTRIES)) {
                for (bit, &column) in columns.iter().enumerate() {
                    let value = loosen(&self.sums[column].reduce());
                    let (known, fresh) = table.split_at_mut(1 << bit);
                    for (fresh, known) in fresh.iter_mut().zip(known) {
                        *fresh = plus(known, &value);
                    }
                }
            }
            let [first, second, third, fourth] = &*self.tables;
            for (projections, octets) in self.projections.iter_mut().zip(octets.chunks_exact(self.used.len())) {
                let mut patterns = [[0; OCTET]; TABLES];
                for (patterns, columns) in patterns.iter_mut().zip(columns.chunks(TABLE_ENTRIES)) {
                    *patterns = gather_rows(octets, columns);
                }
                for (place, projections) in projections.iter_mut().enumerate() {
                    let [a, b, c, d] = patterns.map(|patterns| patterns[place].to_le_bytes());
                    for (lane, sum) in projections.iter_mut().enumerate() {
                        let few = plus(chosen(first, a[lane]), chosen(second, b[lane]));
                        let more = plus(chosen(third, c[lane]), chosen(fourth, d[lane]));
                        *sum = plus(sum, &plus(&few, &more));
                    }
                }
            }
        }
        entries.extend(self.projections.as_flattened().as_flattened()[..width].iter().map(tighten));
        for column in self.columns.drain(..) {
            self.used[column] = false;
        }
    }
}

/// An integer as limbs of 44 bits and more, so that up to 2^20 of them can be added without carries.
type Loose = [u64; LOOSE_LIMBS];

const LOOSE_LIMBS: usize = 6;
const LOOSE_BITS: usize = 44;

#[inline(always)]
fn plus(a: &Loose, b: &Loose) -> Loose {
    core::array::from_fn(|at| a[at].wrapping_add(b[at]))
}

fn loosen(scalar: &Scalar) -> Loose {
    let [a, b, c, d] = *scalar.limbs();
    let mask = (1 << LOOSE_BITS) - 1;
    [
        a & mask,
        (a >> 44 | b << 20) & mask,
        (b >> 24 | c << 40) & mask,
        c >> 4 & mask,
        (c >> 48 | d << 16) & mask,
        d >> 28,
    ]
}

fn tighten(sum: &Loose) -> Scalar {
    // Carries first, then limbs of exactly 44 bits but for the top one.
    let mask = (1 << LOOSE_BITS) - 1;
    let mut limbs = *sum;
    for at in 1..LOOSE_LIMBS {
        limbs[at] = limbs[at].wrapping_add(limbs[at - 1] >> LOOSE_BITS);
        limbs[at - 1] &= mask;
    }
    let [a, b, c, d, e, f] = limbs;
    Scalar::from_wide(&[
        a | b << 44,
        b >> 20 | c << 24,
        c >> 40 | d << 4 | e << 48,
        e >> 16 | f << 28,
        f >> 36,
        0,
        0,
        0,
    ])
}

/// Returns one of the sums of a table.
#[inline(always)]
fn chosen<T>(table: &[T; TABLE_SIZE], pattern: u8) -> &T {
    &table[usize::from(pattern) % TABLE_SIZE]
}

/// Returns which of up to eight columns the projections of an octet choose: of each place a byte for each projection.
#[inline(always)]
fn gather_rows(octets: &[Octet], columns: &[usize]) -> Octet {
    let mut patterns = [0; OCTET];
    for (bit, &column) in columns.iter().enumerate() {
        let row = &octets[column];
        patterns = core::array::from_fn(|place| patterns[place] | row[place] << bit);
    }
    patterns
}

/// Returns the rows of bits by octets: first of all rows the places of the first octet.
fn spread_rows(bits: &[u8], places: usize, rows: usize) -> Result<Vec<Octet>, Refused> {
    let mut octets = room(places.div_ceil(OCTET).saturating_mul(rows))?;
    for first in (0..places).step_by(OCTET) {
        octets.extend(bits.chunks_exact(places).map(|row| {
            let mut octet = [0; OCTET];
            for (spread, &byte) in octet.iter_mut().zip(&row[first..]) {
                *spread = SPREAD[usize::from(byte)];
            }
            octet
        }));
    }
    Ok(octets)
}

/// Returns `G_l(j, k)` of all projections.
fn block_sums(
    rows: &Csr<'_>,
    data: &[i64],
    alpha: &[u8],
    octets: &[Octet],
    places: usize,
    threads: usize,
) -> Result<Projected, Refused> {
    // No sum of some of the records, or else of some of their halves, leaves 63 bits.
    let whole = data.iter().map(|value| u128::from(value.unsigned_abs())).sum::<u128>() < 1 << 63;
    if whole {
        let sums = part_sums(rows, alpha, octets, places, threads, |value| value)?;
        return Ok(Projected { sums, highs: Vec::new() });
    }
    if data.len() >= MAX_ENTRIES {
        return Err(Refused::Invalid("records: at most 2^30 entries"));
    }
    let sums = part_sums(rows, alpha, octets, places, threads, |value| value & ((1 << HALF_BITS) - 1))?;
    let highs = part_sums(rows, alpha, octets, places, threads, |value| value >> HALF_BITS)?;
    Ok(Projected { sums, highs })
}

/// Returns `G_l(j, k)` of all projections for one part of each record.
fn part_sums(
    rows: &Csr<'_>,
    alpha: &[u8],
    octets: &[Octet],
    places: usize,
    threads: usize,
    part: impl Fn(i64) -> i64 + Sync,
) -> Result<Vec<BlockSums>, Refused> {
    let accounts = alpha.len() / places;
    let columns = octets.len() / places.div_ceil(OCTET);
    let parts = map_ranges(rows.rows().div_ceil(CHUNK), threads, |range| {
        let mut sums: Vec<BlockSums> = room(places * LANES)?;
        sums.resize(places * LANES, [[0; BLOCK]; BLOCK]);
        // For each place of a tile the projections of all accounts of a chunk.
        let mut projected: Vec<Lanes> = room(TILE * OCTET * CHUNK)?;
        projected.resize(TILE * OCTET * CHUNK, [0; LANES]);
        let mut projector = Projector { tables: Vec::new(), columns: Vec::new() };
        for (tile, octets) in octets.chunks(TILE * columns).enumerate() {
            let first_place = tile * TILE * OCTET;
            let sums = &mut sums[first_place * LANES..];
            for first in range.clone().map(|chunk| chunk * CHUNK) {
                let count = (rows.rows() - first).min(CHUNK);
                for account in 0..count {
                    projector.load(rows, first + account, &part);
                    let octets = octets.chunks_exact(columns);
                    for (octets, projected) in octets.zip(projected.chunks_exact_mut(OCTET * CHUNK)) {
                        for (projected, lanes) in projected.chunks_exact_mut(CHUNK).zip(projector.project(octets)) {
                            projected[account] = lanes;
                        }
                    }
                }
                let bits = &alpha[first * places..accounts.min(first + CHUNK) * places];
                let projected = projected.chunks_exact(CHUNK);
                for (place, (sums, projected)) in sums.chunks_exact_mut(LANES).zip(projected).enumerate() {
                    add_groups(sums, &projected[..count], bits.iter().skip(first_place + place).step_by(places));
                }
            }
        }
        Ok(sums)
    });
    let mut total: Vec<BlockSums> = Vec::new();
    for sums in parts {
        let sums = sums?;
        if total.is_empty() {
            total = sums;
            continue;
        }
        let sums = sums.as_flattened().as_flattened();
        for (total, &sum) in total.as_flattened_mut().as_flattened_mut().iter_mut().zip(sums) {
            *total = total.wrapping_add(sum);
        }
    }
    Ok(total)
}

/// Projects records one by one.
struct Projector {
    /// For each few entries the sums of some of them.
    tables: Vec<[i64; TABLE_SIZE]>,
    /// The columns of the entries.
    columns: Vec<usize>,
}

impl Projector {
    /// Takes a record.
    fn load(&mut self, rows: &Csr<'_>, record: usize, part: impl Fn(i64) -> i64) {
        self.tables.clear();
        self.columns.clear();
        let mut size = TABLE_SIZE;
        for (column, value) in rows.entries(rows.positions(record..record + 1)) {
            if size == TABLE_SIZE {
                self.tables.push([0; TABLE_SIZE]);
                size = 1;
            }
            if let Some(table) = self.tables.last_mut() {
                let value = part(value);
                let (known, fresh) = table.split_at_mut(size);
                for (fresh, known) in fresh.iter_mut().zip(known) {
                    *fresh = known.wrapping_add(value);
                }
            }
            size *= 2;
            self.columns.push(column);
        }
    }

    /// Returns `w_l` of the record, for the projections of an octet.
    #[inline(always)]
    fn project(&self, octets: &[Octet]) -> [Lanes; OCTET] {
        let mut projected = [[0_i64; LANES]; OCTET];
        for (table, columns) in self.tables.iter().zip(self.columns.chunks(TABLE_ENTRIES)) {
            let patterns = gather_rows(octets, columns);
            for (lanes, patterns) in projected.iter_mut().zip(patterns) {
                for (lane, pattern) in lanes.iter_mut().zip(patterns.to_le_bytes()) {
                    *lane = lane.wrapping_add(*chosen(table, pattern));
                }
            }
        }
        projected
    }
}

/// Adds what a chunk of accounts has to `G_l(j, k)` of the projections of a place.
fn add_groups<'a>(sums: &mut [BlockSums], projected: &[Lanes], bits: impl Iterator<Item = &'a u8>) {
    // For each account of a block which blocks of a group have alpha_l = 1 there, four bits for each l.
    let mut patterns = [[0_u64; GROUPS]; BLOCK];
    for (account, &byte) in bits.enumerate() {
        let (block, at) = (account / BLOCK, account % BLOCK);
        patterns[at][block / GROUP] |= SPREAD[usize::from(byte)] << (block % GROUP);
    }
    // Groups without accounts, and the first sum of each, stay zero.
    let mut tables = [[[0_i64; BLOCK]; 1 << GROUP]; GROUPS];
    for (lane, sums) in sums.iter_mut().enumerate() {
        for (table, projected) in tables.iter_mut().zip(projected.chunks(GROUP * BLOCK)) {
            for bit in 0..GROUP {
                let mut row = [0; BLOCK];
                for (entry, lanes) in row.iter_mut().zip(projected.iter().skip(bit * BLOCK)) {
                    *entry = lanes[lane];
                }
                let (known, fresh) = table.split_at_mut(1 << bit);
                for (fresh, known) in fresh.iter_mut().zip(&*known) {
                    *fresh = core::array::from_fn(|at| known[at].wrapping_add(row[at]));
                }
            }
        }
        for (sums, patterns) in sums.iter_mut().zip(&patterns) {
            let [a, b, c, d]: [&[i64; BLOCK]; GROUPS] = core::array::from_fn(|group| {
                &tables[group][usize::from(patterns[group].to_le_bytes()[lane]) % (1 << GROUP)]
            });
            for (at, sum) in sums.iter_mut().enumerate() {
                *sum = sum.wrapping_add(a[at].wrapping_add(b[at])).wrapping_add(c[at].wrapping_add(d[at]));
            }
        }
    }
}

/// Returns two neighbouring rows of entries.
fn halves(entries: &[Scalar], pair: usize, width: usize) -> (&[Scalar], &[Scalar]) {
    entries[2 * pair * width..2 * (pair + 1) * width].split_at(width)
}

/// Returns the bits of up to eight bytes by their place: byte `l` of the result has bit `l` of each of them.
#[inline(always)]
fn gather<'a>(bytes: impl Iterator<Item = &'a u8>) -> u64 {
    bytes.enumerate().fold(0, |patterns, (at, &byte)| patterns | SPREAD[usize::from(byte)] << at)
}

/// Returns the sums of all subsets of some values, by the bits of the subset.
fn subset_sums(values: &[Scalar]) -> Vec<Scalar> {
    let mut table = vec![Scalar::ZERO];
    for &value in values {
        for at in 0..table.len() {
            table.push(table[at] + value);
        }
    }
    table
}

const fn spread() -> [u64; 256] {
    let mut spread = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut bit = 0;
        while bit < LANES {
            spread[byte] |= ((byte >> bit & 1) as u64) << (8 * bit);
            bit += 1;
        }
        byte += 1;
    }
    spread
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::scalar::GroupOrder;
    use crate::testing::{Numbers, random_residues};

    /// Returns the residue of an integer of either sign.
    fn signed(value: i128) -> Scalar {
        let magnitude = value.unsigned_abs();
        #[allow(clippy::cast_possible_truncation)] // the two halves are meant
        let residue = Scalar::from_limbs([magnitude as u64, (magnitude >> 64) as u64, 0, 0]);
        if value < 0 { -residue } else { residue }
    }

    /// A book with entries up to a magnitude of so many bits, in every third cell, and the bits of the projections.
    struct Book {
        rows: Vec<Vec<i64>>,
        alpha: Vec<u8>,
        beta: Vec<u8>,
        accounts: usize,
        columns: usize,
        places: usize,
    }

    impl Book {
        fn new(accounts: usize, records: usize, columns: usize, places: usize, bits: u32) -> Self {
            let mut numbers = Numbers::new(60);
            let mut bytes = |count: usize| (0..count).map(|_| numbers.next().to_le_bytes()[0]).collect();
            let (alpha, beta) = (bytes(accounts * places), bytes(columns * places));
            let mut entry = || match numbers.next() % 3 {
                0 => numbers.next().cast_signed() >> (64 - bits),
                _ => 0,
            };
            let rows = (0..records).map(|_| (0..columns).map(|_| entry()).collect()).collect();
            Self { rows, alpha, beta, accounts, columns, places }
        }

        fn start(&self, threads: usize) -> Result<RecordSumcheck, Refused> {
            let (mut starts, mut indices, mut data) = (vec![0], Vec::new(), Vec::new());
            for row in &self.rows {
                for (column, &value) in (0..).zip(row) {
                    if value != 0 {
                        indices.push(column);
                        data.push(value);
                    }
                }
                starts.push(i64::try_from(data.len()).expect("few"));
            }
            let (alpha, beta) = (self.alpha.clone(), self.beta.clone());
            RecordSumcheck::new(starts, indices, data, self.columns, alpha, beta, threads)
        }

        fn bit(&self, bits: &[u8], row: usize, projection: usize) -> bool {
            bits[row * self.places + projection / 8] >> (projection % 8) & 1 == 1
        }

        fn projections(&self) -> Vec<i128> {
            let chosen =
                |row: usize, column: usize, l| self.bit(&self.alpha, row, l) && self.bit(&self.beta, column, l);
            let cells = |l| {
                let row = move |(number, row): (usize, &Vec<i64>)| -> i128 {
                    let cells = row.iter().enumerate().filter(|&(column, _)| chosen(number, column, l));
                    cells.map(|(_, &value)| i128::from(value)).sum()
                };
                self.rows.iter().enumerate().map(row).sum()
            };
            (0..8 * self.places).map(cells).collect()
        }

        /// All sums over the whole cube, cell by cell, and the weights at the point of the challenges.
        fn naive(&self, lambda: Scalar, rho: &[Scalar]) -> (Vec<[Scalar; 2]>, Vec<Scalar>, Vec<Scalar>) {
            let flag = |bit| if bit { Scalar::ONE } else { Scalar::ZERO };
            let mut weights: Vec<Vec<Scalar>> = (0..self.accounts)
                .map(|row| {
                    let entry = |column| {
                        let (mut power, mut sum) = (Scalar::ONE, Scalar::ZERO);
                        for l in 0..8 * self.places {
                            sum += power * flag(self.bit(&self.alpha, row, l) && self.bit(&self.beta, column, l));
                            power *= lambda;
                        }
                        sum
                    };
                    (0..self.columns).map(entry).collect()
                })
                .collect();
            let mut records: Vec<Vec<Scalar>> =
                self.rows.iter().map(|row| row.iter().map(|&value| signed(value.into())).collect()).collect();
            records.resize(self.accounts, vec![Scalar::ZERO; self.columns]);
            let mut rounds = Vec::new();
            for &challenge in rho {
                let mut coefficients = [Scalar::ZERO; 2];
                for (weights, records) in weights.chunks(2).zip(records.chunks(2)) {
                    for column in 0..self.columns {
                        let (weight, record) = (weights[0][column], records[0][column]);
                        let (slope, difference) = (weights[1][column] - weight, records[1][column] - record);
                        coefficients[0] += weight * difference + slope * record;
                        coefficients[1] += slope * difference;
                    }
                }
                rounds.push(coefficients);
                let fold = |table: &[Vec<Scalar>]| -> Vec<Vec<Scalar>> {
                    let pair = |pair: &[Vec<Scalar>]| {
                        pair[0].iter().zip(&pair[1]).map(|(&low, &high)| low + challenge * (high - low)).collect()
                    };
                    table.chunks(2).map(pair).collect()
                };
                (weights, records) = (fold(&weights), fold(&records));
            }
            (rounds, weights.swap_remove(0), records.swap_remove(0))
        }
    }

    #[test]
    fn rounds_are_those_of_the_whole_cube() {
        for (accounts, records, columns, places, bits, threads) in [
            (1, 1, 3, 16, 63, 1),
            (1, 0, 1, 1, 63, 2),
            (2, 2, 1, 1, 63, 1),
            (4, 3, 3, 39, 40, 2),
            (8, 8, 2, 2, 64, 1),
            (16, 9, 5, 1, 20, 3),
            (32, 32, 20, 2, 64, 2),
            (64, 33, 9, 1, 40, 2),
            (256, 200, 17, 1, 63, 3),
            (1024, 700, 2, 1, 64, 2),
        ] {
            let book = Book::new(accounts, records, columns, places, bits);
            let rho: Vec<Scalar> = random_residues(61, accounts.trailing_zeros() as usize);
            let lambda = random_residues::<GroupOrder>(62, 1)[0];
            let (rounds, weights, record) = book.naive(lambda, &rho);
            let mut state = book.start(threads).expect("fitting");
            assert_eq!(state.projections().expect("fresh"), book.projections(), "{accounts} {columns}");
            assert!(state.round().is_err() && state.bind(lambda).is_err() && state.weights().is_err());
            state.combine(lambda).expect("fresh");
            assert!(state.combine(lambda).is_err() && state.projections().is_err());
            for (number, (&challenge, expected)) in rho.iter().zip(&rounds).enumerate() {
                assert!(state.weights().is_err() && state.record().is_err());
                assert!(state.round().expect("open") == *expected, "{accounts} {columns} round {number}");
                assert!(state.round().expect("open") == *expected, "a round can be asked for again");
                state.bind(challenge).expect("open");
            }
            assert!(state.weights() == Ok(weights) && state.record() == Ok(record));
            assert!(state.round().is_err() && state.bind(lambda).is_err());
        }
    }

    #[test]
    fn rounds_need_not_be_asked_for() {
        let book = Book::new(64, 64, 3, 2, 50);
        let rho: Vec<Scalar> = random_residues(63, 6);
        let (rounds, weights, record) = book.naive(Scalar::ONE, &rho);
        let mut state = book.start(2).expect("fitting");
        state.combine(Scalar::ONE).expect("fresh");
        for &challenge in &rho[..5] {
            state.bind(challenge).expect("open");
        }
        assert!(state.round() == Ok(rounds[5]));
        state.bind(rho[5]).expect("open");
        assert!(state.weights() == Ok(weights) && state.record() == Ok(record));
    }

    #[test]
    fn the_greatest_integers_are_projected() {
        for value in [i64::MIN, i64::MAX, (1 << 62) - 1, 1 - (1 << 62)] {
            let (starts, data) = ((0..=64).map(|at| 3 * at).collect(), vec![value; 192]);
            let indices = (0..192).map(|at| at % 3).collect();
            let state = RecordSumcheck::new(starts, indices, data, 3, vec![u8::MAX; 64], vec![u8::MAX; 3], 1);
            assert_eq!(state.expect("fitting").projections(), Ok(vec![192 * i128::from(value); 8]));
        }
    }

    #[test]
    fn nothing_follows_a_bind_that_failed() {
        let mut state = Book::new(64, 64, 3, 1, 50).start(1).expect("fitting");
        state.combine(Scalar::ONE).expect("fresh");
        for _ in 0..BLOCK_ROUNDS - 1 {
            state.bind(Scalar::ONE).expect("open");
        }
        // No call leaves so few bits behind: what looks into them panics.
        state.octets.clear();
        assert!(catch_unwind(AssertUnwindSafe(|| state.bind(Scalar::ONE))).is_err());
        assert!(state.round() == Err(BROKEN) && state.bind(Scalar::ONE) == Err(BROKEN));
        assert!(state.weights() == Err(BROKEN) && state.record() == Err(BROKEN));
    }

    #[test]
    fn misfitting_arguments_are_refused() {
        let start = |rows: i64, columns, alpha, beta| {
            let starts = (0..=rows).collect();
            let zeros = || vec![0; usize::try_from(rows).expect("few")];
            RecordSumcheck::new(starts, zeros(), zeros(), columns, vec![0; alpha], vec![0; beta], 1).map(|_| ())
        };
        assert_eq!(start(2, 3, 4, 6), Ok(()));
        for (rows, columns, alpha, beta) in [
            (2, 0, 4, 0),
            (2, 3, 4, 0),
            (2, 3, 4, 5),
            (2, 3, 0, 6),
            (2, 3, 3, 6),
            (2, 3, 6, 6),
            (3, 3, 4, 6),
            (2, MAX_COLUMNS + 1, 2, MAX_COLUMNS + 1),
        ] {
            assert!(start(rows, columns, alpha, beta).is_err(), "{rows} {columns} {alpha} {beta}");
        }
        assert!(RecordSumcheck::new(vec![0, 1], vec![3], vec![1], 3, vec![0], vec![0; 3], 1).is_err());
        assert!(RecordSumcheck::new(vec![], vec![], vec![], 3, vec![0], vec![0; 3], 1).is_err());
    }
}
