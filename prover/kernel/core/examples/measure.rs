//! Prints what operations cost on this machine, in one thread, best of several runs, next to their floors.
//!
//! `cargo run --release --example measure [ACCOUNTS]`; the shard has 500 columns, 11 entries and 16 values an account,
//! 4 accounts to a slack row. The floor of an operation is the number of its additions of points times the measured cost
//! of one in a batch, or of its multiplications in F times that of one.

// Sizes here are far below what a float or a signed integer holds.
#![allow(clippy::cast_precision_loss, clippy::cast_possible_wrap)]

use std::hint::black_box;
use std::time::Instant;

use crossmargin_kernel_core::{
    Addition, Affine, Batch, BitSumcheck, COMPRESSED_BYTES, Csr, Fp, PositionKey, Scalar, SlackKey, fold_bits,
    fold_points, fold_sparse, msm, msm_encoded,
};

const COLUMNS: usize = 500;
const ENTRIES: usize = 11;
const ENTRY_BITS: usize = 41;
const VALUES: usize = 16;
const PACKED: usize = 4;
const HALF_BITS: usize = 128;
const SCALAR_BITS: usize = 256;

/// Returns the least seconds of some runs.
fn best<T>(runs: usize, mut work: impl FnMut() -> T) -> f64 {
    let run = |_| {
        let start = Instant::now();
        black_box(work());
        start.elapsed().as_secs_f64()
    };
    (0..runs).map(run).fold(f64::MAX, f64::min)
}

fn show(name: &str, seconds: f64, operations: usize) -> f64 {
    let nanoseconds = seconds / operations as f64 * 1e9;
    println!("{name:<52} {nanoseconds:12.2} ns");
    nanoseconds
}

/// Prints nanoseconds of one thing, what it consists of, and the floor of that.
fn show_floor(name: &str, seconds: f64, things: usize, count: f64, unit: &Unit) {
    let nanoseconds = seconds / things as f64 * 1e9;
    let floor = count * unit.nanoseconds;
    let ratio = nanoseconds / floor;
    println!("{name:<52} {nanoseconds:12.2} ns   {count:8.1} {:<15} {floor:12.2} ns   {ratio:5.2}", unit.name);
}

/// An operation that others consist of.
struct Unit {
    name: &'static str,
    nanoseconds: f64,
}

/// The costs of what everything consists of.
struct Units {
    addition: Unit,
    base: Unit,
    scalar: Unit,
}

struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn scalar(&mut self) -> Scalar {
        Scalar::from_limbs(std::array::from_fn(|_| self.next()))
    }
}

/// Returns multiples of the base point.
fn multiples(count: usize) -> Vec<Affine> {
    let base = [
        0x59F2_815B_16F8_1798,
        0x029B_FCDB_2DCE_28D9,
        0x55A0_6295_CE87_0B07,
        0x79BE_667E_F9DC_BBAC,
        0x9C47_D08F_FB10_D4B8,
        0xFD17_B448_A685_5419,
        0x5DA4_FBFC_0E11_08A8,
        0x483A_DA77_26A3_C465,
    ];
    let limbs = |from: usize| Fp::from_limbs(std::array::from_fn(|at| base[from + at]));
    let mut points = vec![Affine { x: limbs(0), y: limbs(4) }; count.next_power_of_two()];
    let mut length = 1;
    while length < points.len() {
        let additions = (0..length).map(|at| Addition { left: at, right: length - 1, target: at + length });
        Batch::default().add(&mut points, additions);
        length *= 2;
    }
    points.truncate(count);
    points
}

fn units() -> Units {
    const TIMES: usize = 4096;
    let [x, s] = [Fp::from_limbs([3, 5, 7, 11]).invert().canonical(); 2];
    let (x, s) = (Fp::from_limbs(x), Scalar::from_limbs(s));
    macro_rules! repeat {
        ($name:expr, $start:expr, $step:expr) => {{
            let work = || {
                let mut lanes = [$start; 4];
                (0..TIMES).for_each(|_| lanes.iter_mut().for_each($step));
                lanes
            };
            show($name, best(100, work), 4 * TIMES)
        }};
    }
    let base = repeat!("base field: multiplication", x, |lane| *lane *= x);
    repeat!("base field: squaring", x, |lane: &mut Fp| *lane = lane.square());
    repeat!("base field: addition", x, |lane| *lane += x);
    repeat!("base field: subtraction", x, |lane| *lane -= x);
    show("base field: inversion", best(100, || black_box(x).invert()), 1);
    show("base field: square root", best(100, || black_box(x).square_root()), 1);
    let scalar = repeat!("scalars: multiplication", s, |lane| *lane *= s);
    let costs = [256, 1024, 4096].map(|count| {
        let mut work = multiples(2 * count);
        let pairs = (0..count).map(|at| Addition { left: at, right: at + count, target: at });
        let mut batch = Batch::default();
        // On its own results, so that no run repeats another one and no branch is learnt.
        let seconds = best(100, || batch.add(&mut work, pairs.clone()));
        show(&format!("affine addition, {count} in a batch"), seconds, count)
    });
    let addition = costs.into_iter().fold(f64::MAX, f64::min);
    Units {
        addition: Unit { name: "additions", nanoseconds: addition },
        base: Unit { name: "products mod p", nanoseconds: base },
        scalar: Unit { name: "products in F", nanoseconds: scalar },
    }
}

/// Returns the least additions of a point in tables of windows, where a table of width `w` serves `uses` multiples.
fn window_additions(bits: usize, widest: usize, uses: f64) -> f64 {
    let cost = |width: usize| (bits + 1).div_ceil(width) as f64 * (1.0 + f64::from(1 << (width - 1)) / uses);
    (1..=widest).map(cost).fold(f64::MAX, f64::min)
}

/// Returns the additions of a point in a multi-scalar multiplication by buckets, two terms of half length for each.
fn bucket_additions(count: usize) -> f64 {
    let cost = |width: usize| {
        let (terms, buckets) = (2.0 * count as f64, f64::from(1 << (width - 1)));
        // All terms but the first of each bucket, then two additions for each bucket.
        (HALF_BITS + 1).div_ceil(width) as f64 * ((terms - buckets).max(0.0) + 2.0 * buckets)
    };
    (1..=15).map(cost).fold(f64::MAX, f64::min) / count as f64
}

fn shard(accounts: usize, units: &Units) {
    println!("shard of {accounts} accounts, for an account:");
    let mut numbers = Numbers(1);
    let points = multiples(COLUMNS + VALUES * PACKED * 64 + 1);
    let starts: Vec<i64> = (0..=accounts).map(|row| (row * ENTRIES) as i64).collect();
    let indices: Vec<i64> = (0..accounts * ENTRIES).map(|_| (numbers.next() % COLUMNS as u64).cast_signed()).collect();
    let data: Vec<i64> = (0..accounts * ENTRIES).map(|_| numbers.next().cast_signed() >> (64 - ENTRY_BITS)).collect();
    let records = Csr::new(&starts, &indices, &data).expect("well-formed");
    let values: Vec<u64> = (0..accounts * VALUES).map(|_| numbers.next() >> 4).collect();
    let weights: Vec<Scalar> = (0..accounts).map(|_| numbers.scalar()).collect();
    let runs = (1 << 17 >> accounts.ilog2()).clamp(2, 20);
    let (bases, blinding) = (&points[..points.len() - 1], points[points.len() - 1]);

    let positions = PositionKey::new(blinding);
    positions.extend(0, &bases[..COLUMNS]).expect("from the start");
    let rows = accounts / PACKED;
    let slacks = SlackKey::new(bases[COLUMNS..].to_vec(), blinding).expect("whole values");
    let add = &units.addition;
    let of_blinding = window_additions(SCALAR_BITS, 12, f64::MAX);
    let position_cost =
        ENTRIES as f64 * window_additions(ENTRY_BITS - 1, 14, (accounts * ENTRIES / COLUMNS) as f64) + of_blinding;
    let slack_cost = (VALUES * 8) as f64 + of_blinding / PACKED as f64;
    let first = best(1, || positions.commit(&records, &weights, 1));
    show("commit positions, the first time", first, accounts);
    let again = best(runs, || positions.commit(&records, &weights, 1));
    show_floor("commit positions", again, accounts, position_cost, add);
    let first = best(1, || slacks.commit(&values, &weights[..rows], 1));
    show("commit slack rows, the first time", first, accounts);
    let again = best(runs, || slacks.commit(&values, &weights[..rows], 1));
    show_floor("commit slack rows", again, accounts, slack_cost, add);

    let variables = 6 + VALUES.ilog2() + accounts.ilog2();
    let tau: Vec<Scalar> = (0..variables).map(|_| numbers.scalar()).collect();
    let mut stages = vec![f64::MAX; 2 * variables as usize + 1];
    for _ in 0..runs {
        let mut state = None;
        stages[0] = stages[0].min(best(1, || {
            state = BitSumcheck::new(values.clone(), VALUES, tau.clone(), tau[0], 1).ok();
        }));
        let mut state = state.expect("fitting");
        for (round, &challenge) in tau.iter().enumerate() {
            stages[2 * round + 1] = stages[2 * round + 1].min(best(1, || state.round()));
            stages[2 * round + 2] = stages[2 * round + 2].min(best(1, || state.bind(challenge)));
        }
    }
    // A pair takes four products in a round: e D, then that times b_0 and D, and one more to bind it. The first three
    // rounds see 256 bytes for all accounts, rounds 4 to 6 pairs of bytes, and the later ones scalars.
    let byte_pairs = (VALUES * (4 + 2 + 1)) as f64;
    let scalar_pairs = (VALUES - 1) as f64 + 1.0;
    let products = 3.0 * byte_pairs + 4.0 * scalar_pairs;
    show("sum-check: rounds 1 to 3", stages[..7].iter().sum(), accounts);
    for round in 3..12 {
        let seconds = stages[2 * round + 1] + stages[2 * round + 2];
        show(&format!("sum-check: round {}", round + 1), seconds, accounts);
    }
    show_floor("sum-check", stages.iter().sum(), accounts, products, &units.scalar);
    let seconds = best(runs, || fold_sparse(&records, COLUMNS, &weights, 1));
    // A scalar times an integer of 64 bits is a quarter of a product.
    show_floor("fold sparse", seconds, accounts, ENTRIES as f64 / 4.0, &units.scalar);
    show("fold bits, no products", best(runs, || fold_bits(&values, &weights[..rows], 1)), accounts);
    let seconds = best(runs, || Scalar::eq_table(&tau[10..]));
    show_floor("eq table", seconds, accounts, 1.0, &units.scalar);
}

fn openings(units: &Units) {
    println!("for a point:");
    let mut numbers = Numbers(2);
    for count in [45, 512, 2325, 4650, 16384, 65536] {
        let points = multiples(count);
        let scalars: Vec<Scalar> = (0..count).map(|_| numbers.scalar()).collect();
        let runs = if count > 5000 { 5 } else { 20 };
        let seconds = best(runs, || msm(&scalars, &points, 1));
        let name = format!("multi-scalar multiplication of {count}");
        show_floor(&name, seconds, count, bucket_additions(count), &units.addition);
        if count > 4096 {
            let encodings: Vec<_> = points.iter().map(compressed).collect();
            let seconds = best(3, || msm_encoded(&scalars, &encodings, 1)) - seconds;
            show_floor("  decompression", seconds, count, 270.0, &units.base);
        }
    }
    let (rows, columns) = (13, 512);
    let points = multiples(rows * columns);
    let scalars: Vec<Scalar> = (0..rows).map(|_| numbers.scalar()).collect();
    let seconds = best(5, || fold_points(&points, &scalars, 1));
    // Two windows of each kind for every row, and one chain of doublings for all rows.
    let width = 5;
    let windows = (HALF_BITS + 1).div_ceil(width) as f64;
    let additions = 2.0 * windows + f64::from(1 << (width - 1)) - 1.0 + HALF_BITS as f64 / rows as f64;
    show_floor("fold 13 rows of 512 points", seconds, points.len(), additions, &units.addition);
}

fn compressed(point: &Affine) -> [u8; COMPRESSED_BYTES] {
    let coordinates = point.to_bytes();
    let mut encoding = [2 | coordinates[63] & 1; COMPRESSED_BYTES];
    encoding[1..].copy_from_slice(&coordinates[..32]);
    encoding
}

fn main() {
    let units = units();
    openings(&units);
    match std::env::args().nth(1) {
        Some(accounts) => shard(accounts.parse().expect("a power of two"), &units),
        None => [4096, 16384, 65536].into_iter().for_each(|accounts| shard(accounts, &units)),
    }
}
