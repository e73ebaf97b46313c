//! Accepts connections and shuts down gracefully.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;

#[derive(Clone, Debug)]
pub(crate) struct ServerOptions {
    /// Maximum time for the head of a request to arrive, and for a client to accept some of an answer.
    pub(crate) connection_timeout: Duration,
    pub(crate) max_connections: usize,
    /// Maximum time for requests in flight to finish at shutdown.
    pub(crate) shutdown_timeout: Duration,
    /// Number of open connections.
    pub(crate) connections: Gauge,
}

/// Pause after an error that does not concern a single connection, such as too many open files.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers requests until the first signal, then finishes those in flight.
///
/// # Errors
/// If they do not finish in time, or a second signal comes.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    options: &ServerOptions,
    mut stop: mpsc::Receiver<()>,
) -> Result<(), Box<dyn Error>> {
    let service = TowerToHyperService::new(app);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(options.connection_timeout);
    // A client that has sent its request and nothing more still gets the answer.
    http.half_close(true);
    let open = Arc::new(Semaphore::new(options.max_connections));
    let graceful = GracefulShutdown::new();
    let start = |stream: TcpStream, place: OwnedSemaphorePermit| {
        // Otherwise an answer may wait for the client's acknowledgement of the previous one.
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(options.connection_timeout));
        let stream = TokioIo::new(Box::pin(stream));
        let connection = http.serve_connection(stream, service.clone());
        let connection = graceful.watch(connection);
        let count = options.connections.clone();
        count.inc();
        tokio::spawn(async move {
            // An error of a connection concerns only its client, which has gone or was told.
            let _ = connection.await;
            count.dec();
            drop(place);
        });
    };
    loop {
        let next = async {
            let place = Arc::clone(&open).acquire_owned().await.expect("it is never closed");
            (listener.accept().await, place)
        };
        tokio::select! {
            _ = stop.recv() => break,
            (accepted, place) = next => match accepted {
                Ok((stream, _)) => start(stream, place),
                Err(error) if is_of_connection(&error) => {}
                Err(error) => {
                    eprintln!("cannot accept connections: {error}");
                    sleep(PAUSE).await;
                }
            },
        }
    }
    // These clients see themselves as connected already.
    while let Ok(place) = Arc::clone(&open).try_acquire_owned()
        && let Ok(Ok((stream, _))) = timeout(Duration::ZERO, listener.accept()).await
    {
        start(stream, place);
    }
    drop(listener);
    eprintln!("finishing the requests in flight");
    tokio::select! {
        () = graceful.shutdown() => Ok(()),
        _ = stop.recv() => Err("stopped by a second signal".into()),
        () = sleep(options.shutdown_timeout) => {
            let limit = options.shutdown_timeout.as_millis();
            Err(format!("requests in flight did not finish within {limit} ms").into())
        }
    }
}

fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// A channel with a message for every SIGTERM and SIGINT from now on.
pub(crate) fn signals() -> io::Result<mpsc::Receiver<()>> {
    let (sender, receiver) = mpsc::channel(2);
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
            let (mut signals, sender) = (signal(kind)?, sender.clone());
            tokio::spawn(async move {
                while signals.recv().await.is_some() && sender.send(()).await.is_ok() {}
            });
        }
    }
    #[cfg(not(unix))]
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() && sender.send(()).await.is_ok() {}
    });
    Ok(receiver)
}
