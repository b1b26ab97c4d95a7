//! What `bench/channel.ts` measures, of Tokio's channel: one task fills it without waiting and drains it, or producers
//! wait for room and a receiver for items. `tokio-channel [items] [capacity] [rounds]` prints one JSON object a line.
use std::{env, hint::black_box, time::Instant};

use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc::{self, Receiver, Sender},
};

/// A reference to an object that is shared, as an item is in JavaScript.
type Item = &'static Event;
struct Event {
    _id: u32,
}
static ITEM: Event = Event { _id: 1 };

#[derive(Clone, Copy, PartialEq)]
enum Receive {
    Recv,
    RecvMany,
}

/// Fills the channel, drains it, and so on, all in one task: no waiting, no waking.
async fn alternate(items: usize, capacity: usize, producers: usize, receive: Receive) -> usize {
    let (sender, mut receiver) = mpsc::channel(capacity);
    let senders = vec![sender; producers];
    let mut out = Vec::with_capacity(capacity);
    let mut done = 0;
    while done < items {
        let mut at = 0;
        while senders[at].try_send(&ITEM).is_ok() {
            at = if at + 1 == producers { 0 } else { at + 1 };
        }
        if receive == Receive::RecvMany {
            done += receiver.recv_many(&mut out, capacity).await;
            out.clear();
        } else {
            while !receiver.is_empty() {
                black_box(receiver.recv().await);
                done += 1;
            }
        }
    }
    done
}

/// Producers that wait for room, a receiver that waits for items, each a task.
async fn wait(items: usize, capacity: usize, producers: usize, receive: Receive) -> usize {
    let (sender, receiver) = mpsc::channel(capacity);
    let each = items.div_ceil(producers);
    for _ in 0..producers {
        tokio::spawn(produce(sender.clone(), each));
    }
    drop(sender);
    // A task as well: what block_on runs itself is woken in another way.
    tokio::spawn(drain(receiver, capacity, receive)).await.expect("a task that drains")
}

async fn produce(sender: Sender<Item>, items: usize) {
    for _ in 0..items {
        sender.send(&ITEM).await.expect("a receiver");
    }
}

async fn drain(mut receiver: Receiver<Item>, capacity: usize, receive: Receive) -> usize {
    let mut done = 0;
    if receive == Receive::Recv {
        while let Some(item) = receiver.recv().await {
            black_box(item);
            done += 1;
        }
        return done;
    }
    let mut out = Vec::with_capacity(capacity);
    loop {
        match receiver.recv_many(&mut out, capacity).await {
            0 => return done,
            got => done += got,
        }
        out.clear();
    }
}

fn measure(runtime: &Runtime, waiting: bool, producers: usize, receive: Receive, items: usize, capacity: usize) -> f64 {
    let started = Instant::now();
    let done = runtime.block_on(async {
        if waiting {
            wait(items, capacity, producers, receive).await
        } else {
            alternate(items, capacity, producers, receive).await
        }
    });
    done as f64 / started.elapsed().as_secs_f64()
}

fn main() {
    let mut arguments = env::args().skip(1).map(|text| text.parse::<usize>().expect("a number"));
    let items = arguments.next().unwrap_or(2_000_000);
    let capacity = arguments.next().unwrap_or(1024);
    let rounds = arguments.next().unwrap_or(9);
    let runtimes = [
        ("current_thread", Builder::new_current_thread().build().expect("a runtime")),
        ("multi_thread", Builder::new_multi_thread().build().expect("a runtime")),
    ];
    for (name, runtime) in &runtimes {
        for (setup, waiting) in [("alternating", false), ("waiting", true)] {
            for (mode, receive) in [("recv", Receive::Recv), ("recv_many", Receive::RecvMany)] {
                for producers in [1, 4] {
                    // The first round warms up and is not counted.
                    let mut rates: Vec<f64> = (0..=rounds)
                        .map(|_| measure(runtime, waiting, producers, receive, items, capacity))
                        .skip(1)
                        .collect();
                    rates.sort_by(f64::total_cmp);
                    let line = serde_json::json!({
                        "setup": setup,
                        "producers": producers,
                        "mode": mode,
                        "runtime": name,
                        "itemsPerSecond": rates[(rates.len() - 1) / 2].round(),
                    });
                    println!("{line}");
                }
            }
        }
    }
}
