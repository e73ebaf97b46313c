//! `moe-service`: serves a saved run over HTTP.
//!
//! The rows of a request become inputs of the model on the thread that reads them (`rows.rs`), so that a bad request
//! fails alone (`request.rs` reads the body). `Batcher` joins the inputs of concurrent requests for one call of
//! `Predictor::predict`. `routes.rs` has the endpoints, `server.rs` accepts connections and shuts down gracefully.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "stdout says where it listens, stderr why it ends"
)]

mod answer;
mod batcher;
mod metrics;
mod model;
mod problem;
mod request;
mod routes;
mod rows;
mod server;

use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use tokio::net::TcpListener;

use crate::batcher::{Batcher, BatcherOptions};
use crate::metrics::Metrics;
use crate::model::Served;
use crate::routes::{App, NonFinite, RequestLimits};
use crate::server::ServerOptions;

/// Serve a saved run over HTTP
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Directory of the run
    run: PathBuf,
    /// Address to listen on; port 0 chooses a free port
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Number of prediction threads, each working on its own batch [default: all cores]
    #[arg(long, value_parser = at_least_one)]
    threads: Option<usize>,
    /// Number of rows from which a batch takes no further request
    #[arg(long, default_value_t = 512, value_parser = at_least_one)]
    max_batch: usize,
    /// How long a batch waits for more requests; with 0 it takes those that are waiting
    #[arg(long, default_value_t = 0)]
    max_wait_us: u64,
    /// Maximum number of rows waiting or being predicted; a request beyond it is answered with 503
    #[arg(long, default_value_t = 4096, value_parser = at_least_one)]
    queue: usize,
    /// Maximum length of a request body
    #[arg(long, default_value_t = 1 << 20, value_parser = at_least_one)]
    max_body_bytes: usize,
    /// Maximum number of rows per request
    #[arg(long, default_value_t = 1024, value_parser = at_least_one)]
    max_rows_per_request: usize,
    /// How to handle predictions that are not finite, which come from weights or inputs that are too large
    #[arg(long, value_enum, default_value_t = NonFinite::Refuse)]
    non_finite: NonFinite,
    /// Maximum time for a body to arrive (else 408), and for a prediction (else 503)
    #[arg(long, default_value_t = 10_000)]
    request_timeout_ms: u64,
    /// Maximum time for the head of a request to arrive, and for a client to accept some of an answer
    #[arg(long, default_value_t = 10_000)]
    connection_timeout_ms: u64,
    /// Maximum number of open connections; further ones wait
    #[arg(long, default_value_t = 1000, value_parser = at_least_one)]
    max_connections: usize,
    /// Maximum time for requests in flight to finish after SIGTERM or SIGINT
    #[arg(long, default_value_t = 30_000)]
    shutdown_timeout_ms: u64,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".into()),
        Ok(number) => Ok(number),
        Err(_) => Err("must be a whole number".into()),
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.max_rows_per_request > args.queue {
        let (rows, queue) = (args.max_rows_per_request, args.queue);
        let text = format!("--queue {queue} is less than --max-rows-per-request {rows}");
        Args::command().error(ErrorKind::ValueValidation, text).exit();
    }
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let served = Arc::new(Served::load(&args.run)?);
    let metrics = Arc::new(Metrics::new());
    let threads = match args.threads {
        Some(threads) => threads,
        None => std::thread::available_parallelism()?.get(),
    };
    let options = BatcherOptions {
        threads,
        max_rows: args.max_batch,
        max_request_rows: args.max_rows_per_request,
        max_wait: Duration::from_micros(args.max_wait_us),
        queue_rows: args.queue,
    };
    let batcher = Batcher::start(Arc::clone(&served), Arc::clone(&metrics), &options)?;
    let limits = RequestLimits {
        body_bytes: args.max_body_bytes,
        rows: args.max_rows_per_request,
        time: Duration::from_millis(args.request_timeout_ms),
        non_finite: args.non_finite,
    };
    let options = ServerOptions {
        connection_timeout: Duration::from_millis(args.connection_timeout_ms),
        max_connections: args.max_connections,
        shutdown_timeout: Duration::from_millis(args.shutdown_timeout_ms),
        connections: metrics.connections.clone(),
    };
    let app = routes::router(App { served, batcher, metrics, limits });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let stop = server::signals()?;
        let listener = TcpListener::bind(args.listen)
            .await
            .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
        println!("listening on http://{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        server::serve(listener, app, &options, stop).await
    });
    // Connections that did not finish in time are dropped.
    runtime.shutdown_background();
    result
}
