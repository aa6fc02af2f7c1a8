//! `mutate SECONDS SEED REGRESSIONS ARTIFACTS`: mutate the seeds of each target for some time.
//! `mutate TARGET FILE`: run one input again.
//!
//! Targets run side by side. Inputs that broke something once, `REGRESSIONS/<target>/*`, are seeds
//! too. An input that breaks a target is written to `ARTIFACTS`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs, panic, thread};

use vna_fuzz::mutation::{Chance, mutated};
use vna_fuzz::{TARGETS, Target};

/// No input of the length that mutation makes takes a target a hundredth of this.
const HANG: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match &arguments[..] {
        [seconds, seed, regressions, artifacts] => {
            let (seconds, seed) = (
                seconds.parse().expect("seconds"),
                seed.parse().expect("seed"),
            );
            let passed = thread::scope(|scope| {
                let run = |target| {
                    let (regressions, artifacts) = (Path::new(regressions), Path::new(artifacts));
                    scope.spawn(move || fuzz(target, seconds, seed, regressions, artifacts))
                };
                let running: Vec<_> = TARGETS.iter().map(run).collect();
                let passed = running.into_iter().map(|each| each.join().unwrap_or(false));
                // Every one is waited for.
                passed.filter(|passed| !passed).count() == 0
            });
            if passed {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        [name, file] => {
            let target = TARGETS.iter().find(|each| each.name == name);
            (target.expect("a target").check)(&fs::read(file).expect("the input"));
            println!("{name}: {file} passes");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("mutate SECONDS SEED REGRESSIONS ARTIFACTS, or TARGET FILE");
            ExitCode::FAILURE
        }
    }
}

/// Run one target for some time; say whether every input passed.
fn fuzz(target: &Target, seconds: f64, seed: u64, regressions: &Path, artifacts: &Path) -> bool {
    let name = target.name;
    let mut seeds = (target.seeds)();
    seeds.extend(regressions_of(&regressions.join(name)));
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let mut chance = Chance::new(seed);
    for number in 0_usize.. {
        let input = seeds.get(number).cloned();
        if input.is_none() && Instant::now() > end {
            println!("{name}: {number} inputs in {seconds} s passed (seed {seed})");
            return true;
        }
        let input = input.unwrap_or_else(|| mutated(&seeds, &mut chance));
        let began = Instant::now();
        let passed = panic::catch_unwind(|| (target.check)(&input)).is_ok();
        if !passed || began.elapsed() > HANG {
            let kept = artifacts.join(format!("{name}-{seed}"));
            fs::create_dir_all(artifacts).expect("a folder for what failed");
            fs::write(&kept, &input).expect("a file for what failed");
            let program = env::current_exe().unwrap_or_default();
            println!(
                "{name}: FAILED; again: {} {name} {}",
                program.display(),
                kept.display()
            );
            return false;
        }
    }
    true
}

fn regressions_of(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(|each| Some(each.ok()?.path())).collect();
    paths.sort();
    paths
        .iter()
        .map(|path| fs::read(path).expect("a regression"))
        .collect()
}
