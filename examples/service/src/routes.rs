//! The endpoints.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use clap::ValueEnum;
use http_body_util::BodyExt;
use serde_json::json;
use tokio::time::{timeout, timeout_at};

use crate::answer::Answer;
use crate::batcher::{Batcher, Refusal};
use crate::metrics::{Metrics, RequestLabels};
use crate::model::Served;
use crate::problem::{Problem, json_response};
use crate::request::RequestRows;

#[derive(Clone, Debug)]
pub(crate) struct RequestLimits {
    pub(crate) body_bytes: usize,
    pub(crate) rows: usize,
    /// Maximum time for a body to arrive, and for a prediction.
    pub(crate) time: Duration,
    pub(crate) non_finite: NonFinite,
}

/// Handling of predictions that are not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NonFinite {
    /// Answer the request with 500
    Refuse,
    /// Answer with null in their place
    Null,
}

/// The state that handlers share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) served: Arc<Served>,
    pub(crate) batcher: Batcher,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: RequestLimits,
}

const PATHS: [&str; 4] = ["/predict", "/health", "/metrics", "/model"];
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Number of bytes read and discarded beyond the limit of a body, so that its sender gets to read the answer.
const DISCARDED_BYTES: usize = 16 << 20;

pub(crate) fn router(app: App) -> Router {
    let app = Arc::new(app);
    Router::new()
        .route("/predict", post(predict))
        .route("/health", get(|| async { json_response(StatusCode::OK, &json!({"status": "ok"})) }))
        .route("/metrics", get(metrics))
        .route("/model", get(model))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(from_fn_with_state(Arc::clone(&app), count))
        .with_state(app)
}

/// Counts every answer.
async fn count(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let path = PATHS.into_iter().find(|path| *path == request.uri().path());
    let is_prediction = path == Some("/predict") && request.method() == Method::POST;
    let response = next.run(request).await;
    let labels =
        RequestLabels { path: path.unwrap_or("other"), status: response.status().as_u16() };
    app.metrics.requests.get_or_create(&labels).inc();
    if is_prediction {
        app.metrics.seconds.observe(start.elapsed().as_secs_f64());
    }
    response
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    app.batcher.observe();
    ([(header::CONTENT_TYPE, METRICS_TYPE)], app.metrics.text()).into_response()
}

async fn model(State(app): State<Arc<App>>) -> Response {
    json_response(StatusCode::OK, &app.served.about)
}

async fn not_found(uri: Uri) -> Problem {
    let text = format!("no such path: {}; the paths are {}", uri.path(), PATHS.join(", "));
    Problem::new(StatusCode::NOT_FOUND, text)
}

/// axum adds the header `allow`.
async fn not_allowed(method: Method, uri: Uri) -> Problem {
    let text = format!("{method} is not allowed for {}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, text)
}

async fn predict(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let limits = &app.limits;
    check_type(request.headers())?;
    let body = read_body(request.into_body(), limits).await?;
    let request: RequestRows = serde_json::from_slice(&body).map_err(not_understood)?;
    drop(body);
    let rows = request.rows.len();
    if rows > limits.rows {
        let text = format!("{rows} rows; at most {} are allowed per request", limits.rows);
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    let unprocessable = |text| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, text);
    if rows == 0 {
        return Err(unprocessable("no rows; at least 1 is needed".into()));
    }
    let inputs = app.served.reader.read(&request.rows).map_err(unprocessable)?;
    drop(request);
    let predicted = timeout(limits.time, app.batcher.predict(inputs, rows)).await;
    let unavailable = |text| Problem::new(StatusCode::SERVICE_UNAVAILABLE, text);
    let predicted = match predicted {
        Ok(Ok(predicted)) => predicted,
        Ok(Err(Refusal::Full)) => {
            return Err(unavailable("too many rows are waiting; try again later"));
        }
        Ok(Err(Refusal::Failed)) => {
            let text = "the model failed on these rows, or on others in their batch";
            return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, text));
        }
        Err(_) => return Err(unavailable("the prediction took too long; try again later")),
    };
    let answer = Answer { served: &app.served, rows, predicted: &predicted };
    let (count, first) = answer.not_finite();
    if let Some((row, task)) = first {
        app.metrics.non_finite_rows.inc_by(count);
        if limits.non_finite == NonFinite::Refuse {
            let text = format!(
                "row {row}: the prediction of the task {task} is not finite, and so it is for {count} of {rows} rows; the \
                 weights of the model or the numbers of these rows are too large"
            );
            return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, text));
        }
    }
    Ok(json_response(StatusCode::OK, &answer))
}

fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = given.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let text = "the content type must be application/json";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
}

/// Reads the whole body, if it is short enough and arrives in time.
async fn read_body(mut body: Body, limits: &RequestLimits) -> Result<Vec<u8>, Problem> {
    let end = tokio::time::Instant::now() + limits.time;
    let most = limits.body_bytes;
    let too_long = || {
        let text = format!("the body is too long; at most {most} bytes are allowed");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, text)
    };
    let (mut content, mut length) = (Vec::new(), 0);
    loop {
        let frame = match timeout_at(end, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => break,
            Ok(Some(Err(error))) => {
                let text = format!("the body could not be read: {error}");
                return Err(Problem::new(StatusCode::BAD_REQUEST, text));
            }
            Err(_) if length > most => break,
            Err(_) => {
                let text = format!("the body did not arrive within {} ms", limits.time.as_millis());
                return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, text));
            }
        };
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length <= most {
            content.extend_from_slice(&data);
        } else {
            content = Vec::new();
            if length - most > DISCARDED_BYTES {
                break;
            }
        }
    }
    if length > most { Err(too_long()) } else { Ok(content) }
}

fn not_understood(error: serde_json::Error) -> Problem {
    if error.is_data() {
        let text = format!("{error}; expected {{\"rows\": [{{column: value, ...}}, ...]}}");
        return Problem::new(StatusCode::UNPROCESSABLE_ENTITY, text);
    }
    Problem::new(StatusCode::BAD_REQUEST, format!("the body is not JSON: {error}"))
}
