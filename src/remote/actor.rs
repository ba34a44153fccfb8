//! The task behind a link: it owns the shells, keeps the line alive between turns, and finishes a turn even when
//! nobody waits for it any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::shells::{Shells, Transport};
use super::ssh::wire::Counters;
use super::{BecomePassword, Boxed, Chunk, Identity, Link, LinkError, LinkErrorKind, Reply, Stats};

enum Order {
    Turn {
        who: Identity,
        chunks: Vec<Chunk>,
        reply: oneshot::Sender<Result<Vec<Reply>, LinkError>>,
    },
    Password(Identity, BecomePassword),
    Close(oneshot::Sender<()>),
}

/// The engine's end of a link.
pub(crate) struct Handle {
    orders: mpsc::UnboundedSender<Order>,
    counters: Arc<Counters>,
}

/// Starts the task for these shells.
pub(crate) fn start<T: Transport>(shells: Shells<T>, counters: Arc<Counters>) -> Box<dyn Link> {
    let (orders, inbox) = mpsc::unbounded_channel();
    tokio::spawn(run(shells, inbox));
    Box::new(Handle { orders, counters })
}

async fn run<T: Transport>(mut shells: Shells<T>, mut inbox: mpsc::UnboundedReceiver<Order>) {
    let mut broken: Option<LinkError> = None;
    loop {
        let order = tokio::select! {
            order = inbox.recv() => order,
            error = shells.idle(), if broken.is_none() => {
                broken = Some(error);
                continue;
            }
        };
        match order {
            None => return,
            Some(Order::Password(who, password)) => shells.set_password(who, password),
            Some(Order::Turn { who, chunks, reply }) => {
                let outcome = match &broken {
                    Some(error) => Err(error.clone()),
                    None => shells.turn(&who, chunks).await,
                };
                if let Err(error) = &outcome
                    && error.kind == LinkErrorKind::Lost
                {
                    broken = Some(error.clone());
                }
                let _ = reply.send(outcome);
            }
            Some(Order::Close(done)) => {
                if broken.is_none() {
                    let limit = Duration::from_secs(8);
                    let _ = tokio::time::timeout(limit, shells.close()).await;
                }
                let _ = done.send(());
                return;
            }
        }
    }
}

impl Link for Handle {
    fn turn<'a>(
        &'a mut self,
        who: &'a Identity,
        chunks: Vec<Chunk>,
    ) -> Boxed<'a, Result<Vec<Reply>, LinkError>> {
        Box::pin(async move {
            let gone = || LinkError::new(LinkErrorKind::Lost, "the connection is closed");
            let (reply, answer) = oneshot::channel();
            let order = Order::Turn {
                who: who.clone(),
                chunks,
                reply,
            };
            self.orders.send(order).map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?
        })
    }

    fn set_become_password(&mut self, who: &Identity, password: BecomePassword) {
        let _ = self.orders.send(Order::Password(who.clone(), password));
    }

    fn stats(&self) -> Stats {
        self.counters.stats()
    }

    fn close(self: Box<Self>) -> Boxed<'static, ()> {
        Box::pin(async move {
            let (done, closed) = oneshot::channel();
            if self.orders.send(Order::Close(done)).is_ok() {
                let _ = closed.await;
            }
        })
    }
}
