//! Events of the libraries as lines on stderr.

use std::fmt;
use std::io;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{Format, FormatEvent, FormatFields, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormattedFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::output::write_to_stderr;

/// The modules that log steps, epochs and the alarms of each epoch, which are in the results too.
const TRAINING: &str = "moe_nn::train";

/// Shows the warnings of the libraries from now on, and events up to `level`, also those of training.
pub(crate) fn start(level: LevelFilter) {
    // A program that calls `run` may have a log already.
    let _ = subscriber(level, || Stderr).try_init();
}

fn subscriber<W>(level: LevelFilter, writer: W) -> impl SubscriberInitExt
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let shown = Targets::new().with_default(level.max(LevelFilter::WARN));
    let lines = Lines(Format::default().with_ansi(false));
    let layer = tracing_subscriber::fmt::layer().event_format(lines).with_ansi(false);
    let layer = layer.with_writer(writer).with_filter(shown.with_target(TRAINING, level));
    Registry::default().with(layer)
}

/// A warning is a plain line; every other event has its time and its module. Both name the run, where several are trained side by
/// side.
struct Lines(Format<Full>);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> fmt::Result {
        if *event.metadata().level() > tracing::Level::WARN {
            return self.0.format_event(context, writer, event);
        }
        writer.write_str("warning: ")?;
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<N>>();
            write!(writer, "{}{{{}}}: ", span.name(), fields.map_or("", |fields| &fields.fields))?;
        }
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// Stderr, in whole events.
struct Stderr;

impl io::Write for Stderr {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        write_to_stderr(event);
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Text that several writers share.
    #[derive(Clone, Default)]
    struct Text(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Text {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is shown of a warning and a fact of a library, and of an alarm and an epoch of training.
    fn shown(level: LevelFilter) -> Vec<String> {
        let text = Text::default();
        let writer = text.clone();
        let _guard = subscriber(level, move || writer.clone()).set_default();
        tracing::warn!(target: "moe_data::prepared", rows = 3, "the cache cannot be written");
        tracing::info!(target: "moe_data::prepared", "read");
        tracing::warn!(target: "moe_nn::train::gate_health", epoch = 1, "dead experts");
        tracing::info!(target: "moe_nn::trainer", epoch = 1, "epoch");
        let _run = tracing::error_span!("run", router = "top-k", seed = 2).entered();
        tracing::warn!(target: "moe_nn::train::gate_health", epoch = 3, "collapse");
        let text = String::from_utf8(text.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn warnings_are_plain_lines_and_those_of_training_are_asked_for() {
        let cache = "warning: the cache cannot be written rows=3";
        let alarm = "warning: dead experts epoch=1";
        assert_eq!(shown(LevelFilter::OFF), [cache]);
        let of_run = "warning: run{router=\"top-k\" seed=2}: collapse epoch=3";
        assert_eq!(shown(LevelFilter::WARN), [cache, alarm, of_run]);
        let all = shown(LevelFilter::INFO);
        assert_eq!([&all[0], &all[2]], [cache, alarm]);
        assert!(all[1].ends_with(" INFO moe_data::prepared: read"), "{all:?}");
        assert!(all[3].ends_with(" INFO moe_nn::trainer: epoch epoch=1"), "{all:?}");
        assert_eq!((all.len(), &*all[4]), (5, of_run));
    }
}
