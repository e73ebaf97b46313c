use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Counters for `GET /metrics`.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) requests: Family<RequestLabels, Counter>,
    /// Time of `POST /predict`, from its head to its answer.
    pub(crate) seconds: Histogram,
    /// Rows of each batch: the count is the number of batches, the sum the number of rows.
    pub(crate) batch_rows: Histogram,
    /// Rows with predictions that are not finite.
    pub(crate) non_finite_rows: Counter,
    pub(crate) queue_rows: Gauge,
    pub(crate) connections: Gauge,
    resident_bytes: Gauge<u64, AtomicU64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    pub(crate) path: &'static str,
    pub(crate) status: u16,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("moe"),
            requests: Family::default(),
            // From a quarter of a millisecond to 8 seconds.
            seconds: Histogram::new(exponential_buckets(0.00025, 2.0, 16)),
            batch_rows: Histogram::new(exponential_buckets(1.0, 2.0, 12)),
            non_finite_rows: Counter::default(),
            queue_rows: Gauge::default(),
            connections: Gauge::default(),
            resident_bytes: Gauge::default(),
        };
        let Metrics { registry, requests, seconds, batch_rows, queue_rows, connections, .. } =
            &mut metrics;
        registry.register("requests", "Requests by path and status", requests.clone());
        registry.register("request_seconds", "Time of POST /predict", seconds.clone());
        registry.register("batch_rows", "Rows of each batch", batch_rows.clone());
        registry.register("queue_rows", "Rows waiting or being predicted", queue_rows.clone());
        registry.register("connections", "Open connections", connections.clone());
        let text = "Rows with predictions that are not finite";
        metrics.registry.register("non_finite_rows", text, metrics.non_finite_rows.clone());
        let resident = metrics.resident_bytes.clone();
        metrics.registry.register("resident_memory_bytes", "Memory of the process", resident);
        metrics
    }

    /// All numbers in the OpenMetrics text format.
    pub(crate) fn text(&self) -> String {
        self.resident_bytes.set(resident_bytes().unwrap_or(0));
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a string takes all text");
        text
    }
}

/// Resident memory of this process, where the system reports it as Linux does.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kilobytes * 1024)
}
