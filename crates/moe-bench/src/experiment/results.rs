//! The results of runs and comparisons: what `--format json` prints and `results.json` holds.

use moe_core::batch::BatchSource;
use moe_data::Dataset;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::experiment::gap::GapClosed;
use crate::experiment::metadata::{Host, RunCost};
use crate::experiment::routing_result::RoutingResult;
use crate::experiment::run_curve::RunCurve;
use crate::experiment::test_result::TestResult;
use crate::statistics::bootstrap::Bootstrap;
use crate::statistics::many::{holm, simultaneous_level};
use crate::statistics::paired::PairedTest;
use crate::statistics::summary::Summary;
use crate::statistics::verdict::Verdict;

/// A finished comparison: the object that `--format json` prints. What is read of it is written again as the same text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Comparison {
    /// `moe.compare/1`
    pub schema: String,
    /// The data set.
    pub dataset: DatasetInfo,
    /// The configuration, complete.
    pub config: Config,
    /// The machine.
    pub host: Host,
    /// All runs that were finished, routers in the order they were asked for, seeds ascending.
    pub runs: Vec<RunResult>,
    /// The runs that diverged, in the same order. They are not in the summary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diverged: Vec<DivergedRun>,
    /// All runs of each router in one line.
    pub summary: Vec<RouterSummary>,
}

/// The data set of a comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DatasetInfo {
    /// Its id, as in `moe data list`.
    pub name: String,
    /// Its tasks.
    pub tasks: Vec<TaskInfo>,
    /// Number of rows of each split.
    pub rows: SplitRows,
}

/// A task of the data set.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskInfo {
    /// Its name.
    pub name: String,
    /// Id of its kind, such as `binary`.
    pub kind: String,
    /// The metric that stands for the task in a table.
    pub main_metric: String,
}

/// Number of rows of each split of the data set.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct SplitRows {
    /// Rows to train on.
    pub train: usize,
    /// Rows to choose the best epoch by.
    pub val: usize,
    /// Rows to report on.
    pub test: usize,
}

/// One router trained from one seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// The router's id.
    pub router: String,
    /// Seed of initial weights, shuffles and random draws.
    pub seed: u64,
    /// Number of experts (N).
    pub num_experts: usize,
    /// Experts per row as configured (K), also for routers that do not use it.
    pub k: usize,
    /// Number of trainable parameters.
    pub parameters: usize,
    /// Number of epochs trained.
    pub epochs: usize,
    /// The epoch with the lowest validation loss, from 1. Its weights are the model.
    pub best_epoch: usize,
    /// The validation loss of that epoch.
    pub val_loss: f64,
    /// Loss and metrics on the test split, with the weights of that epoch.
    pub test: TestResult,
    /// How rows spread over experts.
    pub routing: RoutingResult,
    /// The losses by epoch.
    #[serde(default, skip_serializing_if = "RunCurve::is_empty")]
    pub curve: RunCurve,
    /// Seconds spent in training steps.
    pub seconds: f64,
    /// Number of training steps.
    pub steps: u64,
    /// Training steps per second.
    pub steps_per_second: f64,
    /// Time and memory.
    #[serde(default)]
    pub cost: RunCost,
    /// The machine that finished the run.
    #[serde(default)]
    pub host: Host,
}

/// One router that could not be trained from one seed, as its weights became too large.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DivergedRun {
    /// The router's id.
    pub router: String,
    /// The seed.
    pub seed: u64,
    /// The step, what was not finite there, and the cause.
    pub error: String,
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum RunOutcome {
    /// It was trained and tested.
    Finished(Box<RunResult>),
    /// Training diverged.
    Diverged(DivergedRun),
}

impl RunOutcome {
    /// The router's id and the seed.
    pub fn key(&self) -> (&str, u64) {
        match self {
            RunOutcome::Finished(run) => (&run.router, run.seed),
            RunOutcome::Diverged(run) => (&run.router, run.seed),
        }
    }

    /// The outcome that was written as this JSON.
    pub(crate) fn read(json: &str) -> serde_json::Result<Self> {
        // A diverged run has no other keys than its own, so that it is not read as a finished run.
        match serde_json::from_str(json) {
            Ok(diverged) => Ok(RunOutcome::Diverged(diverged)),
            Err(_) => serde_json::from_str(json).map(|run| RunOutcome::Finished(Box::new(run))),
        }
    }
}

/// All runs of a router in one line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RouterSummary {
    /// The router's id.
    pub router: String,
    /// Number of runs that were finished.
    pub runs: usize,
    /// Number of runs that diverged.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub diverged: usize,
    /// Mean test loss of the finished runs; without one the mean is NaN, which is null in JSON.
    pub test_loss: Summary,
    /// Comparison with the baseline, seed by seed; `None` for the baseline itself, and without a seed from which both were
    /// trained.
    pub vs_baseline: Option<VsBaseline>,
    /// The share of the gap between `hash` and `oracle` that the router closes, where both are in the comparison, both with K
    /// experts a row, and the router is neither.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap_closed: Option<GapClosed>,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A router compared with the baseline over the seeds from which both were trained. All differences are relative to the
/// baseline's mean test loss: below 0 is better.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VsBaseline {
    /// The baseline's id.
    pub baseline: String,
    /// Difference of the mean test losses.
    pub relative: f64,
    /// 95 % interval of `relative` from the paired differences (Student's t); `None` with one pair.
    pub ci95: Option<[f64; 2]>,
    /// Number of pairs (n).
    pub pairs: usize,
    /// The interval of Student's t that covers with 95 % for all routers of the comparison together.
    pub corrected95: Option<[f64; 2]>,
    /// 95 % interval by resampling the pairs ([`Bootstrap::relative_difference`] with its default); too narrow for a few pairs.
    pub bootstrap95: Option<[f64; 2]>,
    /// Two-sided p-value of the paired t-test.
    pub p_value: Option<f64>,
    /// The same, adjusted for the number of routers ([`holm`]).
    pub p_adjusted: Option<f64>,
    /// What the intervals say.
    pub verdict: Option<Verdict>,
}

impl Comparison {
    /// The comparison of these runs, by this machine.
    pub(crate) fn new(
        config: &Config,
        data: &Dataset,
        host: Host,
        outcomes: Vec<RunOutcome>,
    ) -> Self {
        let kinds = data.tasks.iter();
        let tasks = kinds.map(|task| TaskInfo {
            name: task.name.clone(),
            kind: task.kind.id().to_owned(),
            main_metric: task.kind.main_metric(),
        });
        let [train, val, test] = [&data.train, &data.val, &data.test].map(|split| split.rows());
        let (mut runs, mut diverged) = (Vec::new(), Vec::new());
        for outcome in outcomes {
            match outcome {
                RunOutcome::Finished(run) => runs.push(*run),
                RunOutcome::Diverged(run) => diverged.push(run),
            }
        }
        let mut comparison = Comparison {
            schema: "moe.compare/1".into(),
            dataset: DatasetInfo {
                name: data.name.clone(),
                tasks: tasks.collect(),
                rows: SplitRows { train, val, test },
            },
            config: config.clone(),
            host,
            runs,
            diverged,
            summary: Vec::new(),
        };
        comparison.summary = comparison.summaries();
        comparison
    }

    fn summaries(&self) -> Vec<RouterSummary> {
        let (routers, baseline) = (&self.config.run.routers, self.baseline());
        let mut summaries = Vec::new();
        for router in routers {
            let losses: Vec<f64> = self.runs_of(router).iter().map(|run| run.test.loss).collect();
            let others = routers.len() - 1;
            summaries.push(RouterSummary {
                router: router.clone(),
                runs: losses.len(),
                diverged: self.diverged_of(router).count(),
                test_loss: Summary::of(&losses),
                vs_baseline: (router != baseline)
                    .then(|| VsBaseline::of(self.paired_losses(router, baseline), baseline, others))
                    .flatten(),
                gap_closed: self.gap_closed(router),
            });
        }
        let compared = || summaries.iter().filter_map(|summary| summary.vs_baseline.as_ref());
        let p_values: Vec<f64> = compared().filter_map(|vs| vs.p_value).collect();
        let mut adjusted = holm(&p_values).into_iter();
        for vs in summaries.iter_mut().filter_map(|summary| summary.vs_baseline.as_mut()) {
            vs.p_adjusted = vs.p_value.and_then(|_| adjusted.next());
        }
        summaries
    }

    /// The router that the others are compared with.
    pub(crate) fn baseline(&self) -> &str {
        let run = &self.config.run;
        run.routers.iter().find(|id| **id == run.baseline).unwrap_or(&run.routers[0])
    }

    /// The finished runs of a router, seeds ascending.
    pub(crate) fn runs_of(&self, router: &str) -> Vec<&RunResult> {
        self.runs.iter().filter(|run| run.router == router).collect()
    }

    /// The runs of a router that diverged, seeds ascending.
    pub(crate) fn diverged_of<'a>(
        &'a self,
        router: &'a str,
    ) -> impl Iterator<Item = &'a DivergedRun> {
        self.diverged.iter().filter(move |run| run.router == router)
    }

    /// The share of the gap between `hash` and `oracle` that a router closes, over the seeds from which all three were trained.
    /// Both ends must give a row K experts, or the gap would be one of other models.
    fn gap_closed(&self, router: &str) -> Option<GapClosed> {
        const ENDS: [&str; 2] = ["hash", "oracle"];
        let k = self.config.model.k as f64;
        let has_k =
            |end: &str| self.runs_of(end).iter().all(|run| run.routing.experts_per_row_eval == k);
        if ENDS.contains(&router) || !ENDS.into_iter().all(has_k) {
            return None;
        }
        let loss = |router: &str, seed: u64| {
            let runs = self.runs_of(router);
            runs.iter().find(|run| run.seed == seed).map(|run| run.test.loss)
        };
        let mut losses: [Vec<f64>; 3] = Default::default();
        for seed in self.config.seeds() {
            if let [Some(of), Some(hash), Some(oracle)] =
                [router, "hash", "oracle"].map(|router| loss(router, seed))
            {
                losses.iter_mut().zip([of, hash, oracle]).for_each(|(all, one)| all.push(one));
            }
        }
        GapClosed::of(&losses[0], &losses[1], &losses[2])
    }

    /// The test losses of both routers from each seed from which both were trained.
    fn paired_losses(&self, router: &str, baseline: &str) -> (Vec<f64>, Vec<f64>) {
        let others = self.runs_of(baseline);
        let runs = self.runs_of(router).into_iter();
        let pairs = runs.filter_map(|run| {
            let other = others.iter().find(|other| other.seed == run.seed)?;
            Some((run.test.loss, other.test.loss))
        });
        pairs.unzip()
    }
}

impl VsBaseline {
    /// The comparison of these losses, one of `comparisons`; `None` without a pair.
    fn of(
        (losses, baseline_losses): (Vec<f64>, Vec<f64>),
        baseline: &str,
        comparisons: usize,
    ) -> Option<Self> {
        if losses.is_empty() {
            return None;
        }
        let test = PairedTest::relative(&losses, &baseline_losses);
        let ci95 = test.interval(0.95);
        let corrected95 = test.interval(simultaneous_level(0.95, comparisons));
        Some(VsBaseline {
            baseline: baseline.to_owned(),
            relative: test.difference.mean,
            ci95,
            pairs: test.pairs,
            corrected95,
            bootstrap95: Bootstrap::default().relative_difference(&losses, &baseline_losses),
            p_value: test.p_value(),
            p_adjusted: None,
            verdict: corrected95.zip(ci95).map(|(corrected, ci95)| Verdict::of(corrected, ci95)),
        })
    }
}
