//! The leader's work: keep in touch with the master, compare apps with tasks, start and end tasks, check their health.

use super::app::complete;
use super::book::{Book, app_of};
use super::deployment::{Action, App, Deployment, plan};
use super::events::Events;
use super::health::{Health, Verdict, ask};
use super::place::place;
use super::store::Store;
use super::task::task_of;
use crate::mesos::Leader;
use crate::mesos::wire::{AgentInfo, FrameworkReport, Offers, State, Task, TaskStatus};
use crate::{clock, http, log};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often apps and tasks are compared.
const TURN: Duration = Duration::from_millis(500);

/// The leader.
pub struct Scheduler {
    /// Where apps are kept.
    pub store: Store,
    master: watch::Receiver<Option<Leader>>,
    framework: FrameworkReport,
    events: Arc<Events>,
    state: Mutex<Book>,
    service_ports: (u16, u16),
}

impl Scheduler {
    /// A leader that knows nothing but what is stored.
    pub async fn new(
        store: Store,
        master: watch::Receiver<Option<Leader>>,
        framework: FrameworkReport,
        events: Arc<Events>,
        service_ports: (u16, u16),
        native: bool,
    ) -> anyhow::Result<Self> {
        let framework = FrameworkReport {
            id: store.framework_id().await?,
            ..framework
        };
        let apps = store
            .apps()
            .await?
            .into_iter()
            .map(|app| (app.id().to_owned(), migrate(app, native)))
            .collect();
        let callbacks = store.callbacks().await?;
        events.callbacks().extend(callbacks);
        let book = Book::new(apps, framework.id.clone());
        Ok(Self {
            store,
            master,
            framework,
            events,
            state: Mutex::new(book),
            service_ports,
        })
    }

    /// What is known. A handler that panicked left it usable: it only holds facts.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where events go.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// The leading master, for people.
    pub fn master(&self) -> Option<Leader> {
        self.master.borrow().clone()
    }

    /// Service ports that no app has.
    pub fn free_service_ports(&self) -> impl Iterator<Item = u16> + use<> {
        let taken: BTreeSet<u64> = self
            .book()
            .apps
            .values()
            .flat_map(|app| super::app::service_ports(&app.definition))
            .collect();
        (self.service_ports.0..=self.service_ports.1)
            .filter(move |port| !taken.contains(&u64::from(*port)))
    }

    /// Works until the process ends or the store cannot be reached.
    pub async fn work(self: &Arc<Self>) -> anyhow::Result<()> {
        loop {
            if let Err(error) = self.turn().await {
                if error.root_cause().is::<zookeeper_client::Error>() {
                    return Err(error);
                }
                log::warning(&format!("{error:#}"));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            tokio::time::sleep(TURN).await;
        }
    }

    async fn turn(self: &Arc<Self>) -> anyhow::Result<()> {
        let Some(master) = self.master() else {
            return Ok(());
        };
        let report = FrameworkReport {
            id: self.book().framework_id.clone(),
            ..self.framework.clone()
        };
        let url = format!("http://{}/standins/frameworks", master.address);
        let offers = http::call("POST", &url, Some(&json!(report)), Duration::from_secs(5)).await?;
        let offers: Offers = serde_json::from_value(offers)?;
        if report.id.is_none() {
            self.store.save_framework_id(&offers.framework_id).await?;
            log::info(&format!("Registered as {}", offers.framework_id));
        }
        let changed = {
            let mut book = self.book();
            let changed = book.take(offers);
            book.note_failures(&changed);
            changed
        };
        for status in &changed {
            self.tell(status);
        }
        self.check_health();
        self.end_strays(&master).await;
        let apps: Vec<App> = self.book().apps.values().cloned().collect();
        for app in apps {
            self.advance(&app, &master).await?;
        }
        Ok(())
    }

    fn tell(&self, status: &TaskStatus) {
        let event = json!({
            "slaveId": status.agent_id, "taskId": status.task.id, "taskStatus": status.state.name(), "message": status.message,
            "appId": app_of(status), "host": status.hostname, "ports": status.task.ports,
            "version": status.task.labels.get("version"),
        });
        self.events.publish("status_update_event", event);
    }

    /// Ends tasks of apps that are gone.
    async fn end_strays(&self, master: &Leader) {
        let strays: Vec<String> = {
            let book = self.book();
            let alive = book.tasks.values().filter(|status| status.state.alive());
            alive
                .filter(|status| !book.apps.contains_key(app_of(status)))
                .map(|status| status.task.id.clone())
                .collect()
        };
        for id in strays {
            self.kill(master, &id).await;
        }
    }

    /// One app's next steps.
    async fn advance(self: &Arc<Self>, app: &App, master: &Leader) -> anyhow::Result<()> {
        let stopping = self
            .book()
            .locks(app.id())
            .iter()
            .any(|deployment| deployment.action == Action::Stop);
        let wanted = if stopping { 0 } else { app.instances() };
        let plan = plan(wanted, &self.book().views(app));
        for id in &plan.kill {
            self.kill(master, id).await;
        }
        let waits = self.book().waits(app.id());
        if !waits {
            for _ in 0..plan.launch {
                if !self.launch(app, master).await {
                    break;
                }
            }
        }
        if plan.done {
            self.finish(app, stopping).await?;
        }
        Ok(())
    }

    async fn finish(&self, app: &App, stopping: bool) -> anyhow::Result<()> {
        let finished: Vec<Deployment> = {
            let mut book = self.book();
            let (finished, going) = book
                .deployments
                .drain(..)
                .partition(|deployment| deployment.app == app.id());
            book.deployments = going;
            if stopping {
                book.remove(app.id());
            }
            finished
        };
        if stopping {
            self.store.remove(app.id()).await?;
            self.events
                .publish("app_terminated_event", json!({"appId": app.id()}));
        }
        for deployment in finished {
            log::info(&format!(
                "Deployment {} of {} finished",
                deployment.id, deployment.app
            ));
            let plan = deployment.to_json();
            self.events.publish(
                "deployment_success",
                json!({"id": deployment.id, "plan": plan}),
            );
        }
        Ok(())
    }

    /// Starts one more task where there is room; whether there was.
    async fn launch(&self, app: &App, master: &Leader) -> bool {
        let Some((agent, task)) = self.next_task(app) else {
            return false;
        };
        let body = json!({"agent": agent.id, "task": task});
        let url = format!("http://{}/standins/tasks", master.address);
        if let Err(error) = http::call("POST", &url, Some(&body), Duration::from_secs(10)).await {
            log::warning(&format!("Cannot launch {}: {error:#}", task.id));
            return false;
        }
        log::info(&format!("Launched {} on {}", task.id, agent.hostname));
        let status = TaskStatus {
            agent_id: agent.id.clone().unwrap_or_default(),
            hostname: agent.hostname.clone(),
            state: State::Staging,
            message: String::new(),
            started: clock::seconds(),
            task,
        };
        let mut book = self.book();
        book.fresh.insert(status.task.id.clone(), Instant::now());
        book.tasks.insert(status.task.id.clone(), status);
        true
    }

    fn next_task(&self, app: &App) -> Option<(AgentInfo, Task)> {
        let book = self.book();
        let tasks: Vec<TaskStatus> = book.tasks.values().cloned().collect();
        let place = place(&app.definition, &book.agents, &tasks)?;
        let task = task_of(
            app,
            book.framework_id.clone()?,
            &place.agent.hostname,
            place.ports,
            &self.framework.user,
        )?;
        Some((place.agent.clone(), task))
    }

    /// Ends a task, once.
    async fn kill(&self, master: &Leader, id: &str) {
        let Some(status) = self.book().tasks.get(id).cloned() else {
            return;
        };
        if self.book().killed.contains_key(id) {
            return;
        }
        let url = format!(
            "http://{}/standins/tasks/{}/{id}/kill",
            master.address, status.agent_id
        );
        match http::call("POST", &url, None, Duration::from_secs(5)).await {
            Ok(_) => {
                log::info(&format!("Killed {id}"));
                self.book().killed.insert(id.to_owned(), Instant::now());
            }
            Err(error) => log::warning(&format!("Cannot kill {id}: {error:#}")),
        }
    }

    /// Asks every task whose check is due; the answers come in later turns.
    fn check_health(self: &Arc<Self>) {
        let mut due = Vec::new();
        {
            let mut book = self.book();
            let running = book
                .tasks
                .values()
                .filter(|status| status.state == State::Running);
            let running: Vec<TaskStatus> = running.cloned().collect();
            for status in running {
                let Some(app) = book.apps.get(app_of(&status)) else {
                    continue;
                };
                let checks = app.definition["healthChecks"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default();
                let known = book.health.entry(status.task.id.clone()).or_default();
                known.resize_with(checks.len(), Health::new);
                for (at, (check, health)) in checks.into_iter().zip(known).enumerate() {
                    if health.take_due(&check) {
                        due.push((at, check, status.clone()));
                    }
                }
            }
        }
        for (at, check, status) in due {
            let scheduler = Arc::clone(self);
            tokio::spawn(async move {
                let answer = ask(check.clone(), status.clone()).await;
                scheduler.take_answer(at, &check, &status, answer);
            });
        }
    }

    fn take_answer(
        &self,
        at: usize,
        check: &Value,
        status: &TaskStatus,
        answer: Result<(), String>,
    ) {
        let id = &status.task.id;
        let (alive, doomed) = {
            let mut book = self.book();
            let Some(health) = book.health.get_mut(id).and_then(|known| known.get_mut(at)) else {
                return;
            };
            let before = health.alive;
            health.heard(check, status.started, answer);
            (
                (before != health.alive).then_some(health.alive).flatten(),
                health.verdict(check) == Verdict::Hopeless,
            )
        };
        let event = json!({"appId": app_of(status), "taskId": id, "version": status.task.labels.get("version"), "alive": alive});
        if alive.is_some() {
            self.events
                .publish("health_status_changed_event", event.clone());
        }
        if doomed {
            self.events.publish("unhealthy_task_kill_event", event);
        }
    }
}

/// What an older Marathon stored, in the shape of this one.
fn migrate(app: App, native: bool) -> App {
    match complete(&app.definition, native) {
        Ok(definition) => App { definition, ..app },
        Err(_) => app,
    }
}
