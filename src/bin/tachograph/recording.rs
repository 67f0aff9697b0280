//! A recorder on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::Context as _;

use crate::recorder::Recorder;

/// A recorder that runs.
pub(crate) struct Recording {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Recording {
    /// Lets `recorder` run; `ended` is called when it ends, however it does.
    pub(crate) fn spawn(
        recorder: Recorder,
        ended: impl FnOnce() + Send + 'static,
    ) -> anyhow::Result<Self> {
        /// Also when the recorder panics.
        struct Tell<F: FnOnce()>(Option<F>);
        impl<F: FnOnce()> Drop for Tell<F> {
            fn drop(&mut self) {
                if let Some(ended) = self.0.take() {
                    ended();
                }
            }
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let body = move || {
            let _tell = Tell(Some(ended));
            // The kernel may delay a wake-up by this much to save another one; a recorder of
            // milliseconds would see it. The default is right where the kernel refuses.
            let _ = rustix::thread::set_current_timer_slack(std::num::NonZero::new(1));
            recorder.run(&stopped);
        };
        let thread = thread::Builder::new()
            .name("recorder".into())
            .spawn(body)
            .context("cannot start the recorder's thread")?;
        Ok(Self { stop, thread })
    }

    /// Ends the recorder and waits for it.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        self.thread.join().map_err(|_| anyhow::anyhow!("the recorder has panicked"))
    }
}
