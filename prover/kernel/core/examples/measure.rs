//! Prints what operations cost on this machine, one thread, best of several runs.
//!
//! `cargo run --release --example measure [ACCOUNTS]`; the shard has 500 columns, 11 entries and 16 values an account.

use std::hint::black_box;
use std::time::Instant;

use crossmargin_kernel_core::{
    Addition, Affine, Batch, BitSumcheck, Csr, Fp, PositionKey, Scalar, SlackKey, fold_bits, fold_points, fold_sparse,
    msm,
};

const COLUMNS: usize = 500;
const ENTRIES: usize = 11;
const VALUES: usize = 16;
const PACKED: usize = 4;

/// Returns the least seconds of some runs.
fn best(runs: usize, mut work: impl FnMut()) -> f64 {
    let run = |_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    (0..runs).map(run).fold(f64::MAX, f64::min)
}

fn show(name: &str, seconds: f64, operations: usize) {
    println!("{name:<52} {:12.2} ns", seconds / operations as f64 * 1e9);
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

fn fields() {
    const TIMES: usize = 4096;
    let [x, s] = [Fp::from_limbs([3, 5, 7, 11]).invert().canonical(); 2];
    let (x, s) = (Fp::from_limbs(x), Scalar::from_limbs(s));
    macro_rules! repeat {
        ($name:expr, $start:expr, $step:expr) => {{
            let work = || {
                let mut lanes = [$start; 4];
                (0..TIMES).for_each(|_| lanes.iter_mut().for_each($step));
                black_box(lanes);
            };
            show($name, best(100, work), 4 * TIMES);
        }};
    }
    repeat!("base field: multiplication", x, |lane| *lane *= x);
    repeat!("base field: squaring", x, |lane: &mut Fp| *lane = lane.square());
    repeat!("base field: addition", x, |lane| *lane += x);
    repeat!("base field: subtraction", x, |lane| *lane -= x);
    show("base field: inversion", best(100, || drop(black_box(black_box(x).invert()))), 1);
    repeat!("scalars: multiplication", s, |lane| *lane *= s);
}

fn additions() {
    for count in [256, 1024, 4096] {
        let mut work = multiples(2 * count);
        let pairs = (0..count).map(|at| Addition { left: at, right: at + count, target: at });
        let mut batch = Batch::default();
        let seconds = best(50, || {
            // On its own results, so that no run repeats another one and no branch is learnt.
            batch.add(&mut work, pairs.clone());
        });
        show(&format!("affine addition, {count} in a batch"), seconds, count);
    }
}

fn shard(accounts: usize) {
    println!("shard of {accounts} accounts, nanoseconds an account:");
    let mut numbers = Numbers(1);
    let points = multiples(COLUMNS + VALUES * PACKED * 64 + 1);
    let starts: Vec<i64> = (0..=accounts as i64).map(|row| row * ENTRIES as i64).collect();
    let indices: Vec<i64> = (0..accounts * ENTRIES).map(|_| (numbers.next() % COLUMNS as u64) as i64).collect();
    let data: Vec<i64> = (0..accounts * ENTRIES).map(|_| numbers.next() as i64 >> 23).collect();
    let records = Csr::new(&starts, &indices, &data).expect("well-formed");
    let values: Vec<u64> = (0..accounts * VALUES).map(|_| numbers.next() >> 4).collect();
    let weights: Vec<Scalar> = (0..accounts).map(|_| numbers.scalar()).collect();
    let runs = (1 << 17 >> accounts.ilog2()).clamp(2, 20);
    let (bases, blinding) = (&points[..points.len() - 1], points[points.len() - 1]);

    let positions = PositionKey::new(blinding);
    positions.extend(0, &bases[..COLUMNS]).expect("from the start");
    let rows = accounts / PACKED;
    let slacks = SlackKey::new(bases[COLUMNS..].to_vec(), blinding).expect("whole values");
    let first = best(1, || drop(positions.commit(&records, &weights, 1)));
    show("commit positions, the first time", first, accounts);
    show("commit positions", best(runs, || drop(positions.commit(&records, &weights, 1))), accounts);
    let first = best(1, || drop(slacks.commit(&values, &weights[..rows], 1)));
    show("commit slack rows, the first time", first, accounts);
    show("commit slack rows", best(runs, || drop(slacks.commit(&values, &weights[..rows], 1))), accounts);

    let variables = 6 + VALUES.ilog2() + accounts.ilog2();
    let tau: Vec<Scalar> = (0..variables).map(|_| numbers.scalar()).collect();
    let mut stages = vec![f64::MAX; 2 * variables as usize + 1];
    for _ in 0..runs {
        let mut stage = 0;
        let mut timed = |work: &mut dyn FnMut()| {
            let seconds = best(1, work);
            stages[stage] = stages[stage].min(seconds);
            stage += 1;
        };
        let mut state = None;
        timed(&mut || state = BitSumcheck::new(values.clone(), VALUES, tau.clone(), tau[0], 1).ok());
        let mut state = state.expect("fitting");
        for &challenge in &tau {
            timed(&mut || drop(black_box(state.round())));
            timed(&mut || drop(state.bind(challenge)));
        }
    }
    show("sum-check: histograms", stages[0], accounts);
    for round in [0, 3, 4, 5, 6, 7, 8, 9, 10, 11] {
        show(&format!("sum-check: round {}", round + 1), stages[2 * round + 1], accounts);
        show(&format!("sum-check: bind {}", round + 1), stages[2 * round + 2], accounts);
    }
    show("sum-check: all", stages.iter().sum(), accounts);
    show("fold sparse", best(runs, || drop(fold_sparse(&records, COLUMNS, &weights, 1))), accounts);
    show("fold bits", best(runs, || drop(fold_bits(&values, &weights[..rows], 1))), accounts);
    show("eq table", best(runs, || drop(black_box(Scalar::eq_table(&tau[10..])))), accounts);
}

fn openings() {
    let mut numbers = Numbers(2);
    for count in [1, 45, 512, 2325, 4650, 16384, 65536] {
        let points = multiples(count);
        let scalars: Vec<Scalar> = (0..count).map(|_| numbers.scalar()).collect();
        let runs = if count > 5000 { 3 } else { 20 };
        show(
            &format!("multi-scalar multiplication of {count}, a point"),
            best(runs, || drop(msm(&scalars, &points, 1))),
            count,
        );
    }
    let points = multiples(13 * 512);
    let scalars: Vec<Scalar> = (0..13).map(|_| numbers.scalar()).collect();
    show("fold 13 rows of 512 points, a point", best(5, || drop(fold_points(&points, &scalars, 1))), points.len());
}

fn main() {
    fields();
    additions();
    openings();
    match std::env::args().nth(1) {
        Some(accounts) => shard(accounts.parse().expect("a power of two")),
        None => [4096, 16384, 65536].into_iter().for_each(shard),
    }
}
