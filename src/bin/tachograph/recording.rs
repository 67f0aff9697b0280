//! Recorders that run, each on a thread of its own.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, bail};
use rustix::io::Errno;
use rustix::thread::CpuSet;
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};
use tracing::warn;

use crate::config::{Policy, Settings, ThreadSettings};
use crate::recorder::Recorder;

/// The recorders of all lanes. When this goes, whatever the reason, they end and close their rings.
pub(crate) struct Recording {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Recording {
    /// Opens the ring of every lane, the host's first. If one cannot be had, those that were are
    /// closed again.
    pub(crate) fn prepare(settings: &Settings) -> anyhow::Result<Vec<Recorder>> {
        let mut recorders = Vec::new();
        for lane in &settings.lanes {
            match Recorder::start(settings, lane) {
                Ok(recorder) => recorders.push(recorder),
                Err(error) => {
                    recorders.into_iter().for_each(Recorder::close);
                    return Err(error);
                }
            }
        }
        if settings.mlock {
            stay_in_memory();
        }
        Ok(recorders)
    }

    /// Lets the recorders of the lanes run; `ended` is called when one of them ends, however it does.
    pub(crate) fn spawn(
        settings: &Settings,
        recorders: Vec<Recorder>,
        ended: impl Fn() + Clone + Send + 'static,
    ) -> anyhow::Result<Self> {
        let mut recording = Self { stop: Arc::default(), threads: Vec::new() };
        let (begun, told) = channel();
        for (lane, recorder) in settings.lanes.iter().zip(recorders) {
            let (stop, ended, begun) = (recording.stop.clone(), ended.clone(), begun.clone());
            let (name, thread) = (lane.name.clone(), lane.thread.clone());
            let body = move || record(recorder, (name, thread), begun, ended, &stop);
            let thread = thread::Builder::new()
                .name(format!("record {}", lane.name))
                .spawn(body)
                .context("cannot start a recorder's thread");
            match thread {
                Ok(thread) => recording.threads.push(thread),
                Err(error) => {
                    recording.stop()?;
                    return Err(error);
                }
            }
        }
        drop(begun);
        for outcome in told {
            if let Err(error) = outcome {
                recording.stop()?;
                return Err(error);
            }
        }
        Ok(recording)
    }

    /// Ends the recorders and waits for them.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        if self.end() { Ok(()) } else { Err(anyhow::anyhow!("a recorder has panicked")) }
    }

    /// Whether all of them came to their end in order.
    fn end(&mut self) -> bool {
        self.stop.store(true, Ordering::Release);
        let mut in_order = true;
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            in_order &= thread.join().is_ok();
        }
        in_order
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a recorder's thread does.
fn record(
    recorder: Recorder,
    (lane, thread): (String, ThreadSettings),
    begun: Sender<anyhow::Result<()>>,
    ended: impl Fn(),
    stop: &AtomicBool,
) {
    /// Also when the recorder panics.
    struct Tell<F: Fn()>(F);
    impl<F: Fn()> Drop for Tell<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    let _tell = Tell(ended);
    // The kernel may delay a wake-up by this much to save another one; a recorder of
    // milliseconds would see it. The default is right where the kernel refuses.
    let _ = rustix::thread::set_current_timer_slack(NonZero::new(1));
    let applied = apply(&lane, &thread);
    let fit = applied.is_ok();
    // Whoever waits for this has nothing else to do.
    let _ = begun.send(applied);
    drop(begun);
    if fit {
        recorder.run(stop);
    } else {
        recorder.close();
    }
}

/// Runs this thread as the lane asks. What the kernel does not permit is told and left.
fn apply(lane: &str, settings: &ThreadSettings) -> anyhow::Result<()> {
    let ThreadSettings { cpus, policy } = settings;
    if !cpus.is_empty() {
        let mut set = CpuSet::new();
        cpus.iter().for_each(|cpu| set.set(*cpu));
        match rustix::thread::sched_setaffinity(None, &set) {
            Ok(()) => {}
            Err(Errno::INVAL) => {
                bail!("cpu = {cpus:?} of the lane {lane:?}: there is none of them")
            }
            Err(error) => warn!("the lane {lane:?} runs on any CPU and not on {cpus:?}: {error}"),
        }
    }
    let refused = match *policy {
        Policy::Other => None,
        Policy::Nice(nice) => rustix::process::setpriority_process(None, nice.into())
            .err()
            .map(|error| error.to_string()),
        Policy::Fifo(priority) => real_time(RealtimeThreadSchedulePolicy::Fifo, priority),
        Policy::RoundRobin(priority) => {
            real_time(RealtimeThreadSchedulePolicy::RoundRobin, priority)
        }
    };
    if let Some(error) = refused {
        warn!("the lane {lane:?} is scheduled like any process and not by {policy}: {error}");
    }
    Ok(())
}

/// Why the kernel refuses it, if it does.
fn real_time(policy: RealtimeThreadSchedulePolicy, priority: u8) -> Option<String> {
    let policy = ThreadSchedulePolicy::Realtime(policy);
    let priority = ThreadPriority::from_posix(thread_priority::ScheduleParams {
        sched_priority: priority.into(),
    });
    let set = set_thread_priority_and_policy(thread_native_id(), priority, policy);
    set.err().map(|error| error.to_string())
}

/// Keeps the process in memory: its rings, its buffers, its code.
fn stay_in_memory() {
    use rustix::mm::{MlockAllFlags, mlockall};
    use rustix::process::{Resource, getrlimit};
    // Where memory that may be locked is limited, what is mapped later could not be had at all.
    let unlimited =
        getrlimit(Resource::Memlock).maximum.is_none() || rustix::process::geteuid().is_root();
    let later = if unlimited { MlockAllFlags::FUTURE } else { MlockAllFlags::empty() };
    if let Err(error) = mlockall(MlockAllFlags::CURRENT | later) {
        warn!("the process may be swapped out in spite of mlock: {error}");
    }
}
