//! The same worlds for as long as one likes, with redrives among the steps.
//!
//! `MODEL_SECONDS=600 cargo test --release --lib -- --ignored interleavings`. A failure names its seed, which `MODEL_SEED`
//! repeats.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

/// A world and what happens in it, both drawn from the seed.
fn ends_equal_from(seed: u64) -> (usize, Result<(), TestCaseError>) {
    let mut draw = fastrand::Rng::with_seed(seed);
    let (coalesce, restores) = (draw.bool(), draw.bool());
    let mut world = World::with(|pipeline| {
        pipeline.publishing.coalesce = coalesce;
        if restores {
            pipeline.publishing.on_undelete = OnUndelete::Restore;
        }
    });
    let steps = draw.usize(10..1_500);
    for _ in 0..steps {
        if draw.u8(..) < 6 {
            let parked: Vec<_> = world.memory.parked.keys().copied().collect();
            if let Some((pipeline, record)) = draw.choice(&parked).copied() {
                world.machine.wake(Source { pipeline, record }, world.now);
            }
        }
        world.step(draw.u8(0..100), draw.usize(..), draw.u16(..));
    }
    (steps, ends_equal(world, Vec::new()))
}

#[test]
#[ignore = "as long as MODEL_SECONDS says"]
fn millions_of_interleavings_end_with_the_target_equal_to_the_source() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let until = Instant::now() + Duration::from_secs(number("MODEL_SECONDS").unwrap_or(60));
    let (mut worlds, mut steps) = (0, 0);
    loop {
        let seed = number("MODEL_SEED").unwrap_or_else(|| fastrand::u64(..));
        match catch_unwind(AssertUnwindSafe(|| ends_equal_from(seed))) {
            Ok((taken, Ok(()))) => steps += taken,
            Ok((_, Err(why))) => panic!("MODEL_SEED={seed}: {why}"),
            Err(_) => panic!("MODEL_SEED={seed}: see above"),
        }
        worlds += 1;
        if Instant::now() >= until || number("MODEL_SEED").is_some() {
            break;
        }
    }
    println!("{worlds} worlds of {steps} steps ended equal");
}
