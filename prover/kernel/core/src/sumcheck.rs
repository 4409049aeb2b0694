//! The sum-check over the bits of a shard (SPEC P4), without the masks g.
//!
//! Entry `z` of the hypercube is bit `t` (six variables), value `j`, account `i`, low bit first. With pairs
//! `(b_0, b_1)` of entries that differ in the variable of the round, `D = b_1 - b_0` and weights `e = eq(tau_{>d}, z')`,
//!
//! ```text
//! t_1 = sum e D (2 b_0 - 1),   t_2 = sum e D^2.
//! ```
//!
//! * Rounds 1 to 3 bind the bits of a byte and see its 256 values, each with the sum of the weights of its places.
//! * Rounds 4 to 6 bind the byte of a value. An entry is linear in its bits, hence a sum over its bytes of what a table
//!   holds for them, and binding changes the tables, not the entries.
//! * Then there is a scalar for each value, and later one for each account, that ordinary rounds bind.
//!
//! Values of an account beyond the last (J <= j < 2^kappa) have zero bits, so that their entries are one constant: no
//! work is done for them.

use core::mem;

use crate::error::{Refused, expect_length};
use crate::fold::byte_histograms;
use crate::parallel::{map_ranges, map_rows};
use crate::scalar::{Products, Scalar, Sum};

/// Variables inside a byte.
const BYTE_ROUNDS: usize = 3;

/// Variables inside a value.
const VALUE_ROUNDS: usize = 6;

/// Bytes of a value.
const VALUE_BYTES: usize = 8;

/// State of one sum-check; alternate `round` and `bind`, once for each variable, then ask for the `value`.
pub struct BitSumcheck {
    tau: Vec<Scalar>,
    /// `a`, of the mask `a z_1 (1 - z_1)`.
    mask: Scalar,
    threads: usize,
    /// Variables before those of accounts.
    inner: usize,
    /// Variables that are bound.
    done: usize,
    /// What the entries of absent values are.
    constant: Scalar,
    /// eq over the variables of accounts behind that of the round.
    account_weights: Vec<Scalar>,
    /// Values, then entries, of an account.
    width: usize,
    stage: Stage,
}

enum Stage {
    /// Rounds 1 to 3: the sum of weights for each byte, and the entries of each byte, 8, then 4, then 2.
    Patterns { values: Vec<u64>, weights: Vec<Scalar>, entries: Vec<Vec<Scalar>> },
    /// Rounds 4 to 6: an entry is the sum over its bytes of what the tables hold, one table for each.
    Tables { values: Vec<u64>, tables: Vec<Vec<Scalar>> },
    /// Later rounds: the entries, those of an account together.
    Entries(Vec<Scalar>),
    /// A bind did not end: nothing is left to go on with.
    Broken,
}

/// Why nothing follows once a bind did not end.
const BROKEN: Refused = Refused::Invalid("a sum-check whose last challenge was not bound");

impl BitSumcheck {
    /// Starts with the values of a power of two of accounts, `width` each, the point tau and the mask a.
    ///
    /// # Errors
    /// The values do not make a power of two of accounts, or tau has another number of entries than there are variables.
    pub fn new(
        values: Vec<u64>,
        width: usize,
        tau: Vec<Scalar>,
        mask: Scalar,
        threads: usize,
    ) -> Result<Self, Refused> {
        let accounts = values.len().checked_div(width).unwrap_or(0);
        if accounts * width != values.len() || !accounts.is_power_of_two() {
            return Err(Refused::Invalid("values that do not make a power of two of accounts"));
        }
        let inner = VALUE_ROUNDS + width.next_power_of_two().trailing_zeros() as usize;
        expect_length("entries of tau", tau.len(), inner + accounts.trailing_zeros() as usize)?;
        let account_weights = Scalar::eq_table(&tau[inner..]);
        let place_weights = Scalar::eq_table(&tau[BYTE_ROUNDS..inner]);
        let parts = map_ranges(width, threads, |range| {
            let mut sums = vec![Products::default(); 256];
            for number in range {
                let histograms = byte_histograms(values.iter().skip(number).step_by(width), &account_weights);
                for (histogram, place) in histograms.iter().zip(&place_weights[number * VALUE_BYTES..]) {
                    for (sum, weight) in sums.iter_mut().zip(histogram) {
                        sum.add(weight, place);
                    }
                }
            }
            sums.iter().map(Products::reduce).collect::<Vec<_>>()
        });
        let weights = (0..256).map(|byte| parts.iter().fold(Scalar::ZERO, |sum, part| sum + part[byte])).collect();
        let bit = |byte: u8, bit: usize| if byte >> bit & 1 == 1 { Scalar::ONE } else { Scalar::ZERO };
        let entries = (0..=u8::MAX).map(|byte| (0..8).map(|at| bit(byte, at)).collect()).collect();
        let stage = Stage::Patterns { values, weights, entries };
        Ok(Self { tau, mask, threads, inner, done: 0, constant: Scalar::ZERO, account_weights, width, stage })
    }

    /// Returns the coefficients `t_{d,1..D_d}` of `b_hat^2 - b_hat`: four in the first round, then two.
    ///
    /// # Errors
    /// Every variable is bound, or the last bind failed.
    pub fn round(&self) -> Result<Vec<Scalar>, Refused> {
        if self.done == self.tau.len() {
            return Err(Refused::Invalid("every variable is bound"));
        }
        let [linear, square] = match &self.stage {
            Stage::Patterns { weights, entries, .. } => self.pattern_sums(weights, entries),
            Stage::Tables { values, tables } => self.account_sums(|account, weights, sums| {
                let words = &values[account * self.width..(account + 1) * self.width];
                let pairs = VALUE_BYTES / 2 / tables.len();
                for (word, weights) in words.iter().zip(weights.chunks_exact(pairs)) {
                    let bytes = word.to_le_bytes();
                    for (pair, weight) in weights.iter().enumerate() {
                        sums.add(weight, look_up(tables, &bytes, 2 * pair), look_up(tables, &bytes, 2 * pair + 1));
                    }
                }
            }),
            Stage::Entries(entries) if self.done < self.inner => self.account_sums(|account, weights, sums| {
                for (weight, (low, high)) in weights.iter().zip(self.pairs(entries, account)) {
                    sums.add(weight, low, high);
                }
            }),
            Stage::Entries(entries) => {
                let parts = map_ranges(entries.len() / 2, self.threads, |range| {
                    let mut sums = PairSums::default();
                    let pairs = entries[2 * range.start..2 * range.end].chunks_exact(2);
                    for (weight, pair) in self.account_weights[range].iter().zip(pairs) {
                        sums.add(weight, pair[0], pair[1]);
                    }
                    sums.reduce()
                });
                total(&parts)
            }
            Stage::Broken => return Err(BROKEN),
        };
        if self.done > 0 {
            return Ok(vec![linear, square]);
        }
        // The mask enters the first round alone: b_hat = b + a Z (1 - Z) there.
        let Stage::Patterns { weights, entries, .. } = &self.stage else { return Err(BROKEN) };
        let [lows, differences] = self.first_sums(weights, entries);
        let a = self.mask;
        let twice = a.double();
        Ok(vec![
            linear + twice * lows - a,
            square + a.square() + twice * (differences - lows) + a,
            -(twice * a) - twice * differences,
            a.square(),
        ])
    }

    /// Fixes the variable of the round to a challenge.
    ///
    /// # Errors
    /// Every variable is bound, or the last bind failed.
    pub fn bind(&mut self, challenge: Scalar) -> Result<(), Refused> {
        if self.done == self.tau.len() {
            return Err(Refused::Invalid("every variable is bound"));
        }
        let stage = mem::replace(&mut self.stage, Stage::Broken);
        if self.done == 0 {
            self.constant = self.mask * challenge * (Scalar::ONE - challenge);
        }
        let shift = if self.done == 0 { self.constant } else { Scalar::ZERO };
        let bound = |low: Scalar, high: Scalar| low + challenge * (high - low) + shift;
        let stage = match stage {
            Stage::Patterns { values, weights, entries } => {
                let entries = entries.iter().map(|entries| entries.chunks_exact(2).map(|pair| bound(pair[0], pair[1])));
                if self.done + 1 < BYTE_ROUNDS {
                    Stage::Patterns { values, weights, entries: entries.map(Iterator::collect).collect() }
                } else {
                    Stage::Tables { values, tables: vec![entries.flatten().collect()] }
                }
            }
            Stage::Tables { values, tables } => {
                let scaled =
                    |factor| tables.iter().map(move |table| table.iter().map(|&entry| entry * factor).collect());
                let tables: Vec<Vec<Scalar>> = scaled(Scalar::ONE - challenge).chain(scaled(challenge)).collect();
                if tables.len() < VALUE_BYTES {
                    Stage::Tables { values, tables }
                } else {
                    let entry = |&value: &u64| look_up(&tables, &value.to_le_bytes(), 0);
                    Stage::Entries(map_rows(values.len(), self.threads, |range| {
                        values[range].iter().map(entry).collect()
                    }))
                }
            }
            Stage::Entries(entries) if self.done < self.inner => {
                let accounts = entries.len() / self.width;
                let folded = map_rows(accounts, self.threads, |range| {
                    let pairs = range.flat_map(|account| self.pairs(&entries, account));
                    pairs.map(|(low, high)| bound(low, high)).collect()
                });
                self.width = self.width.div_ceil(2);
                Stage::Entries(folded)
            }
            Stage::Entries(entries) => Stage::Entries(map_rows(entries.len() / 2, self.threads, |range| {
                let pairs = entries[2 * range.start..2 * range.end].chunks_exact(2);
                pairs.map(|pair| bound(pair[0], pair[1])).collect()
            })),
            Stage::Broken => return Err(BROKEN),
        };
        self.done += 1;
        if self.inner <= self.done && self.done < self.tau.len() {
            // The two values of eq in the variable of the next round add up to one.
            self.account_weights = self.account_weights.chunks_exact(2).map(|pair| pair[0] + pair[1]).collect();
        }
        self.stage = stage;
        Ok(())
    }

    /// Returns `b_hat(rho)`.
    ///
    /// # Errors
    /// A variable is not bound, or the last bind failed.
    pub fn value(&self) -> Result<Scalar, Refused> {
        match &self.stage {
            Stage::Entries(entries) if self.done == self.tau.len() => Ok(entries[0]),
            Stage::Broken => Err(BROKEN),
            _ => Err(Refused::Invalid("not every variable is bound")),
        }
    }

    /// Returns `t_1` and `t_2` of rounds 1 to 3, in the first without the mask.
    fn pattern_sums(&self, weights: &[Scalar], entries: &[Vec<Scalar>]) -> [Scalar; 2] {
        let places = Scalar::eq_table(&self.tau[self.done + 1..BYTE_ROUNDS]);
        let mut sums = PairSums::default();
        for (&weight, entries) in weights.iter().zip(entries) {
            for (&place, pair) in places.iter().zip(entries.chunks_exact(2)) {
                sums.add(&(weight * place), pair[0], pair[1]);
            }
        }
        sums.reduce()
    }

    /// Returns `sum e b_0` and `sum e D` of the first round.
    fn first_sums(&self, weights: &[Scalar], entries: &[Vec<Scalar>]) -> [Scalar; 2] {
        let places = Scalar::eq_table(&self.tau[1..BYTE_ROUNDS]);
        let [mut lows, mut differences] = [Products::default(); 2];
        for (&weight, entries) in weights.iter().zip(entries) {
            for (&place, pair) in places.iter().zip(entries.chunks_exact(2)) {
                lows.add(&(weight * place), &pair[0]);
                differences.add(&(weight * place), &(pair[1] - pair[0]));
            }
        }
        [lows.reduce(), differences.reduce()]
    }

    /// Returns `t_1` and `t_2` from the sums that `fill` makes of the pairs inside an account, given their weights.
    fn account_sums(&self, fill: impl Fn(usize, &[Scalar], &mut PairSums) + Sync) -> [Scalar; 2] {
        let inner_weights = Scalar::eq_table(&self.tau[self.done + 1..self.inner]);
        let parts = map_ranges(self.account_weights.len(), self.threads, |range| {
            let [mut linear, mut square] = [Products::default(); 2];
            for account in range {
                let mut sums = PairSums::default();
                fill(account, &inner_weights, &mut sums);
                let sums = sums.reduce();
                linear.add(&self.account_weights[account], &sums[0]);
                square.add(&self.account_weights[account], &sums[1]);
            }
            [linear.reduce(), square.reduce()]
        });
        total(&parts)
    }

    /// Returns the pairs of entries inside an account; the partner of the last may be an absent value.
    fn pairs(&self, entries: &[Scalar], account: usize) -> impl Iterator<Item = (Scalar, Scalar)> {
        let entries = entries[account * self.width..(account + 1) * self.width].chunks(2);
        entries.map(|pair| (pair[0], pair.get(1).copied().unwrap_or(self.constant)))
    }
}

/// Sums over pairs `(b_0, b_0 + D)` with weights e: of `e D`, `e D b_0` and `e D^2`.
#[derive(Default)]
struct PairSums {
    differences: Sum,
    mixed: Products,
    squares: Products,
}

impl PairSums {
    #[inline(always)]
    fn add(&mut self, weight: &Scalar, low: Scalar, high: Scalar) {
        let difference = high - low;
        let weighted = *weight * difference;
        self.differences.add(&weighted);
        self.mixed.add(&weighted, &low);
        self.squares.add(&weighted, &difference);
    }

    /// Returns `t_1` and `t_2`.
    #[inline(always)]
    fn reduce(&self) -> [Scalar; 2] {
        [self.mixed.reduce().double() - self.differences.reduce(), self.squares.reduce()]
    }
}

/// Returns entry `number` of a value: the sum of what the tables hold for its bytes.
#[inline(always)]
fn look_up(tables: &[Vec<Scalar>], bytes: &[u8; VALUE_BYTES], number: usize) -> Scalar {
    let bytes = &bytes[number * tables.len()..(number + 1) * tables.len()];
    let mut entries = tables.iter().zip(bytes).map(|(table, &byte)| table[usize::from(byte)]);
    let first = entries.next().unwrap_or(Scalar::ZERO);
    entries.fold(first, |sum, entry| sum + entry)
}

fn total(parts: &[[Scalar; 2]]) -> [Scalar; 2] {
    parts.iter().fold([Scalar::ZERO; 2], |sum, part| [sum[0] + part[0], sum[1] + part[1]])
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::scalar::GroupOrder;
    use crate::testing::{Numbers, random_residues};

    /// All sums over the whole cube, and the coefficients by the formulas of the module's head.
    fn naive(values: &[u64], width: usize, tau: &[Scalar], a: Scalar, rho: &[Scalar]) -> (Vec<Vec<Scalar>>, Scalar) {
        let padded = width.next_power_of_two();
        let mut table = Vec::new();
        for account in values.chunks(width) {
            for number in 0..padded {
                let value = account.get(number).copied().unwrap_or(0);
                table.extend((0..64).map(|bit| Scalar::from_limbs([value >> bit & 1, 0, 0, 0])));
            }
        }
        let mut rounds = Vec::new();
        for (round, &challenge) in rho.iter().enumerate() {
            let weights = Scalar::eq_table(&tau[round + 1..]);
            let mut t = vec![Scalar::ZERO; if round == 0 { 4 } else { 2 }];
            for (&e, pair) in weights.iter().zip(table.chunks(2)) {
                // b + D Z + a (Z - Z^2), squared and reduced by itself; a only in the first round.
                let (b, d, a) = (pair[0], pair[1] - pair[0], if round == 0 { a } else { Scalar::ZERO });
                let linear = d + a;
                t[0] += e * (b.double() * linear - linear);
                t[1] += e * (linear.square() - b.double() * a + a);
                if round == 0 {
                    t[2] -= e * linear.double() * a;
                    t[3] += e * a.square();
                }
            }
            rounds.push(t);
            let shift = if round == 0 { a * challenge * (Scalar::ONE - challenge) } else { Scalar::ZERO };
            table = table.chunks(2).map(|pair| pair[0] + challenge * (pair[1] - pair[0]) + shift).collect();
        }
        (rounds, table[0])
    }

    #[test]
    fn rounds_are_those_of_the_whole_cube() {
        let mut numbers = Numbers::new(50);
        for (accounts, width, threads) in [(1, 1, 1), (2, 1, 2), (1, 3, 1), (4, 2, 1), (4, 5, 3), (8, 4, 2)] {
            let mut values: Vec<u64> = (0..accounts * width).map(|_| numbers.next()).collect();
            values[0] = u64::MAX;
            values[accounts * width - 1] &= 0xFF00_0000_00FF;
            let n = 6 + width.next_power_of_two().trailing_zeros() as usize + accounts.trailing_zeros() as usize;
            let mut tau: Vec<Scalar> = random_residues(51, n);
            tau[n - 1] = Scalar::ONE;
            let mut rho: Vec<Scalar> = random_residues(52, n);
            rho[n - 2] = Scalar::ZERO;
            let a = random_residues::<GroupOrder>(53, 1)[0];
            let (expected, value) = naive(&values, width, &tau, a, &rho);
            let mut state = BitSumcheck::new(values, width, tau, a, threads).expect("fitting");
            for (round, &challenge) in rho.iter().enumerate() {
                assert!(state.value().is_err());
                assert!(state.round().expect("open") == expected[round], "{accounts} {width} round {round}");
                assert!(state.round().expect("open") == expected[round], "a round can be asked for again");
                state.bind(challenge).expect("open");
            }
            assert!(state.value() == Ok(value));
            assert!(state.round().is_err());
            assert!(state.bind(Scalar::ONE).is_err());
        }
    }

    #[test]
    fn nothing_follows_a_bind_that_failed() {
        let mut state = BitSumcheck::new(vec![5; 8], 1, random_residues(55, 9), Scalar::ONE, 2).expect("fitting");
        for _ in 0..VALUE_ROUNDS - 1 {
            state.bind(Scalar::ONE).expect("open");
        }
        // No call leaves such tables behind: what looks into them panics.
        let Stage::Tables { tables, .. } = &mut state.stage else { panic!("another stage") };
        tables.iter_mut().for_each(Vec::clear);
        assert!(catch_unwind(AssertUnwindSafe(|| state.bind(Scalar::ONE))).is_err());
        for _ in 0..4 {
            assert!(state.round() == Err(BROKEN));
            assert!(state.bind(Scalar::ONE) == Err(BROKEN));
            assert!(state.value() == Err(BROKEN));
        }
    }

    #[test]
    fn misfitting_arguments_are_refused() {
        let point = |n| random_residues::<GroupOrder>(54, n);
        for (values, width, n) in [(3, 1, 8), (0, 1, 6), (2, 0, 7), (5, 2, 8), (2, 1, 6), (2, 1, 8), (2, 2, 6)] {
            assert!(BitSumcheck::new(vec![0; values], width, point(n), Scalar::ONE, 1).is_err());
        }
        assert!(BitSumcheck::new(vec![0; 2], 2, point(7), Scalar::ONE, 1).is_ok());
    }
}
