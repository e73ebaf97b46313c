//! Joins concurrent requests for one call of the model.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use moe_core::batch::{InputSpec, Inputs, Tokens};
use moe_core::{Real, Tensor};
use moe_nn::{ModelScratch, Predictions};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::metrics::Metrics;
use crate::model::Served;

#[derive(Clone, Debug)]
pub(crate) struct BatcherOptions {
    /// Number of prediction threads.
    pub(crate) threads: usize,
    /// Number of rows from which a batch takes no further request.
    pub(crate) max_rows: usize,
    /// Maximum number of rows per request.
    pub(crate) max_request_rows: usize,
    /// How long a batch waits for more requests.
    pub(crate) max_wait: Duration,
    /// Maximum number of rows waiting or being predicted.
    pub(crate) queue_rows: usize,
}

/// Threads that predict the rows of requests, several requests at a time.
#[derive(Debug)]
pub(crate) struct Batcher {
    jobs: Sender<Job>,
    room: Arc<Semaphore>,
    queue_rows: usize,
    metrics: Arc<Metrics>,
}

/// The reason why a request is not predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Too many rows are waiting.
    Full,
    /// The model failed.
    Failed,
}

/// The inputs of a request, and a channel for its predictions.
struct Job {
    inputs: Inputs,
    rows: usize,
    answer: oneshot::Sender<Vec<Vec<Real>>>,
    /// Returned when the job is dropped.
    _room: OwnedSemaphorePermit,
}

impl Batcher {
    pub(crate) fn start(
        served: Arc<Served>,
        metrics: Arc<Metrics>,
        options: &BatcherOptions,
    ) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let max_rows = if served.predictor.is_row_wise() { options.max_rows } else { 1 };
        for i in 0..options.threads {
            let worker = Worker {
                served: Arc::clone(&served),
                metrics: Arc::clone(&metrics),
                queue: Arc::clone(&queue),
                max_rows,
                most_rows: max_rows - 1 + options.max_request_rows,
                max_wait: options.max_wait,
            };
            thread::Builder::new().name(format!("predict-{i}")).spawn(move || worker.run())?;
        }
        let room = Arc::new(Semaphore::new(options.queue_rows));
        Ok(Batcher { jobs, room, queue_rows: options.queue_rows, metrics })
    }

    /// Predicts `rows` rows: `Predictions::probabilities` of each task.
    pub(crate) async fn predict(
        &self,
        inputs: Inputs,
        rows: usize,
    ) -> Result<Vec<Vec<Real>>, Refusal> {
        let permits = u32::try_from(rows).map_err(|_| Refusal::Full)?;
        let room = Arc::clone(&self.room).try_acquire_many_owned(permits);
        let room = room.map_err(|_| Refusal::Full)?;
        let (answer, predicted) = oneshot::channel();
        let job = Job { inputs, rows, answer, _room: room };
        self.jobs.send(job).map_err(|_| Refusal::Failed)?;
        predicted.await.map_err(|_| Refusal::Failed)
    }

    /// Updates the length of the queue in the metrics.
    pub(crate) fn observe(&self) {
        let rows = self.queue_rows - self.room.available_permits();
        self.metrics.queue_rows.set(rows as i64);
    }
}

/// A prediction thread.
struct Worker {
    served: Arc<Served>,
    metrics: Arc<Metrics>,
    queue: Arc<Mutex<Receiver<Job>>>,
    max_rows: usize,
    /// Number of rows of the largest possible batch.
    most_rows: usize,
    max_wait: Duration,
}

impl Worker {
    /// Works until the queue is closed. A panic fails only the batch being predicted; its requests are answered with
    /// an error.
    fn run(self) {
        // A batch stays on its thread, which is fastest while other batches are predicted.
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
        let _alone = alone.expect("this thread is in no other pool");
        let mut is_new = true;
        let mut work = || self.predict_batches(std::mem::take(&mut is_new));
        while catch_unwind(AssertUnwindSafe(&mut work)).is_err() {}
    }

    /// The first call starts with the largest possible batch, so that later batches need no more memory.
    fn predict_batches(&self, is_first: bool) {
        let predictor = &self.served.predictor;
        let mut jobs = Vec::new();
        let mut batch = Batch::of(predictor.input());
        let (mut out, mut scratch) = (Predictions::default(), ModelScratch::default());
        let mut values = Vec::new();
        if is_first {
            batch.fill_with(predictor.input(), self.most_rows);
            let result = predictor.predict(&batch.inputs, &batch.keys, &mut out, &mut scratch);
            result.expect("inputs of the model");
        }
        while self.collect(&mut jobs) {
            batch.fill(predictor.input(), &jobs);
            let result = predictor.predict(&batch.inputs, &batch.keys, &mut out, &mut scratch);
            result.expect("rows were checked as they were read");
            self.metrics.batch_rows.observe(batch.keys.len() as f64);
            let mut answers: Vec<Vec<Vec<Real>>> = vec![Vec::new(); jobs.len()];
            for task in 0..out.num_tasks() {
                out.probabilities(task, &mut values);
                let width = predictor.tasks()[task].kind.outputs();
                let mut rest = &values[..];
                for (job, answer) in jobs.iter().zip(&mut answers) {
                    let (own, others) = rest.split_at(job.rows * width);
                    answer.push(own.to_vec());
                    rest = others;
                }
            }
            for (job, answer) in jobs.drain(..).zip(answers) {
                // The client may have gone.
                let _ = job.answer.send(answer);
            }
        }
    }

    /// Waits for a request and takes what is waiting. Returns false if the queue is closed.
    fn collect(&self, jobs: &mut Vec<Job>) -> bool {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows = 0;
        let mut end = None;
        while rows < self.max_rows {
            let next = match end {
                None => queue.recv().ok(),
                Some(end) => queue.recv_timeout(Instant::duration_since(&end, Instant::now())).ok(),
            };
            let Some(job) = next else { break };
            // The client may have gone.
            if job.answer.is_closed() {
                continue;
            }
            end = end.or_else(|| Some(Instant::now() + self.max_wait));
            rows += job.rows;
            jobs.push(job);
        }
        !jobs.is_empty()
    }
}

/// The inputs of several requests, in reused memory.
struct Batch {
    inputs: Inputs,
    keys: Vec<u64>,
}

impl Batch {
    fn of(input: &InputSpec) -> Self {
        let inputs = Inputs {
            ids: vec![Vec::new(); input.columns.len()],
            dense: (!input.dense.is_empty()).then(Tensor::default),
            tokens: input.tokens.map(|_| Tokens::default()),
        };
        Batch { inputs, keys: Vec::new() }
    }

    /// Fills the batch with made-up rows of different ids.
    fn fill_with(&mut self, input: &InputSpec, rows: usize) {
        for (column, ids) in input.columns.iter().zip(&mut self.inputs.ids) {
            ids.clear();
            ids.extend((0..rows).map(|row| (row % column.vocabulary.max(1)) as u32));
        }
        if let Some(x) = &mut self.inputs.dense {
            *x = Tensor::zeros(input.dense_shape(rows));
        }
        if let Some(spec) = &input.tokens {
            let longest = vec![0; spec.longest];
            self.inputs.tokens = Some(Tokens::from_rows((0..rows).map(|_| &longest)));
        }
        self.keys.clear();
        self.keys.resize(rows, 0);
    }

    /// Fills the batch with the rows of all jobs. The key of a row is its first id, as in training.
    fn fill(&mut self, input: &InputSpec, jobs: &[Job]) {
        let rows = jobs.iter().map(|job| job.rows).sum();
        let Inputs { ids, dense, tokens } = &mut self.inputs;
        for (column, to) in ids.iter_mut().enumerate() {
            to.clear();
            jobs.iter().for_each(|job| to.extend_from_slice(&job.inputs.ids[column]));
        }
        if let Some(x) = dense {
            x.resize(input.dense_shape(rows));
            let mut rest = x.as_mut_slice();
            for from in jobs.iter().filter_map(|job| job.inputs.dense.as_ref()) {
                let (own, others) = rest.split_at_mut(from.len());
                own.copy_from_slice(from.as_slice());
                rest = others;
            }
        }
        if let Some(to) = tokens {
            to.truncate(0);
            for from in jobs.iter().filter_map(|job| job.inputs.tokens.as_ref()) {
                (0..from.rows()).for_each(|row| to.push(from.of_row(row)));
            }
        }
        self.keys.clear();
        match ids.first() {
            Some(first) => self.keys.extend(first.iter().map(|&id| u64::from(id))),
            None => self.keys.resize(rows, 0),
        }
    }
}
