//! An application that publishes two series of its own beside those of the host.
//!
//! ```console
//! $ cargo run --example producer -- /dev/shm/tachograph-0 30
//! $ tachograph tail --lane shop
//! $ curl 'http://127.0.0.1:8017/api/v1/latest?ring=shop'
//! ```
//!
//! The first argument is where the rings live (by default where the recorder of this user has them),
//! the second how many records to publish (by default without end).

use std::error::Error;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use tachograph::{Kind, Producer, RunDir, Unit, WriterOptions};

/// How often a record is published.
const INTERVAL: Duration = Duration::from_millis(100);

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    let wanted = args.next().map(PathBuf::from);
    let records = match args.next() {
        Some(count) => count.to_string_lossy().parse()?,
        None => u64::MAX,
    };

    // The ring is /run/tachograph/shop.ring, or what corresponds to it for this user. A second
    // process of this name is refused; after a restart the history goes on.
    let dir = RunDir::for_writing(wanted.as_deref())?;
    let mut shop = Producer::declare(&dir, "shop")?;
    let waiting = shop.add::<u64>("queue/orders", "waiting", Kind::Gauge, Unit::Count)?;
    let taken = shop.add::<u64>("queue/orders", "taken", Kind::Counter, Unit::Count)?;
    let mut shop = shop.start(&WriterOptions::every(INTERVAL).reaching_back(INTERVAL * 600))?;

    let mut orders = Orders::default();
    for _ in 0..records {
        orders.go_on();
        shop.set(&waiting, orders.waiting);
        shop.set(&taken, orders.taken);
        shop.publish();
        sleep(INTERVAL);
    }
    shop.close();
    Ok(())
}

/// What the application is about: orders come one at a time and are taken three at a time.
#[derive(Default)]
struct Orders {
    waiting: u64,
    taken: u64,
}

impl Orders {
    fn go_on(&mut self) {
        self.waiting += 1;
        if self.waiting == 3 {
            (self.waiting, self.taken) = (0, self.taken + 3);
        }
    }
}
