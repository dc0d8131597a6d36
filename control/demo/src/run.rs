//! The demo from its first line to its last.

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use crossterm::event::{Event as TerminalEvent, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::DefaultTerminal;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::MissedTickBehavior,
};

use crate::{
    events::Voice,
    origin::{Behaviour, Fault},
    picture::Picture,
    plain,
    stage::{Action, Refused, Stage},
    switchboard,
    topology::Topology,
    users::{HomeOf, Live, Users, UsersOptions},
    view::{self, Choice},
};

/// What the demo is to be like.
#[derive(Clone)]
pub struct DemoOptions {
    /// Users; default 1,000.
    pub users: usize,
    /// Requests a second, all users together; default 600.
    pub rate: f64,
    /// When to end by itself; default never.
    pub duration: Option<Duration>,
    /// The proxy's port and the first of the 100 that the demo takes; default: the first free hundred from
    /// 18000.
    pub port: Option<u16>,
    /// A line a second even at a terminal.
    pub plain: bool,
    /// Where each user belongs, by the proxy's own hash; default: where it was served first.
    pub home_of: Option<HomeOf>,
}

impl Default for DemoOptions {
    fn default() -> Self {
        DemoOptions { users: 1_000, rate: 600.0, duration: None, port: None, plain: false, home_of: None }
    }
}

/// The longest that the proxy may take to serve; it takes a fraction of a second.
const START_DEADLINE: Duration = Duration::from_secs(10);
/// How often the proxy is asked for its view.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often the terminal is drawn: what moves on it are whole seconds.
const DRAW_EVERY: Duration = Duration::from_millis(250);

/// Runs the demo until it is told to end. Exit code 1, and why on standard error, if it cannot start.
pub fn run(options: DemoOptions) -> ExitCode {
    raise_descriptor_limit();
    // Two things at once are rare here, and the load generator has threads of its own.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string()),
    };
    match runtime.block_on(demo(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => fail(&problem),
    }
}

fn fail(problem: &str) -> ExitCode {
    // Not `eprintln`, which panics where standard error is a terminal that is gone.
    let _ = writeln!(io::stderr(), "causeway demo: {problem}");
    ExitCode::FAILURE
}

/// A hanging cluster holds thousands of connections, and the usual soft limit is 1,024. The children inherit
/// what is set here.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where it is refused the demo still runs, with fewer connections.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

async fn demo(options: DemoOptions) -> Result<(), String> {
    let mut ends = Ends::new(options.duration).map_err(|error| error.to_string())?;
    let (topology, lease) = Topology::reserve(options.port).map_err(|error| format!("no ports: {error}"))?;
    let folder = tempfile::Builder::new().prefix("causeway-demo-").tempdir().map_err(|e| e.to_string())?;
    let program = std::env::current_exe().map_err(|error| format!("where am I? {error}"))?;
    let stage = Stage::set(topology, program, folder.path()).map_err(|error| error.to_string())?;
    let shown = show(&options, &stage, lease, &mut ends).await;
    stage.strike();
    shown
}

async fn show(
    options: &DemoOptions,
    stage: &Arc<Stage>,
    lease: std::net::TcpListener,
    ends: &mut Ends,
) -> Result<(), String> {
    tokio::select! {
        ready = wait_for_proxy(stage) => ready?,
        () = ends.wait() => return Ok(()),
    }
    let users = Users::start(UsersOptions {
        users: options.users,
        rate: options.rate,
        keep_records: false,
        home_of: options.home_of.clone(),
        ..UsersOptions::new(stage.topology.gateway)
    })
    .map_err(|error| error.to_string())?;
    let live = users.live();
    let take = {
        let (stage, live, users, rate) = (stage.clone(), live.clone(), options.users, options.rate);
        move || Picture::take(&stage, &live, users, rate)
    };
    lease.set_nonblocking(true).map_err(|error| error.to_string())?;
    let listener = tokio::net::TcpListener::from_std(lease).map_err(|error| error.to_string())?;
    let status = Arc::new({
        let take = take.clone();
        move || serde_json::json!(take())
    });
    tokio::spawn(switchboard::serve(listener, stage.clone(), status));
    tokio::spawn(watch(stage.clone()));
    if print(&plain::banner(stage)).is_err() {
        return Ok(());
    }
    if !options.plain && io::stdout().is_terminal() && io::stdin().is_terminal() {
        // A terminal that is gone is an end like any other.
        let _ = on_terminal(stage, &take, ends).await;
    } else {
        in_lines(stage, &live, &take, ends).await;
    }
    users.stop();
    let _ = print(&format!("{}\n", plain::farewell(&take())));
    Ok(())
}

async fn wait_for_proxy(stage: &Stage) -> Result<(), String> {
    let began = Instant::now();
    while !stage.proxy_ready().await? {
        if began.elapsed() > START_DEADLINE {
            return Err(format!("the proxy does not serve; see {}", stage.proxy_log().display()));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Follows the proxy's view, and notices when it is no more.
async fn watch(stage: Arc<Stage>) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        stage.look_at_proxy().await;
        if let Err(problem) = stage.proxy_ready().await {
            stage.events.say(Voice::Trouble, problem.lines().next().unwrap_or("the proxy ended"));
            return;
        }
    }
}

/// A closed pipe (`causeway demo | head`) is an end like any other.
fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

async fn in_lines(stage: &Stage, live: &Live, take: &impl Fn() -> Picture, ends: &mut Ends) {
    let mut next_event = 0;
    loop {
        // Just after the load generator's second ends, so that each line tells a new one.
        let into_second = Duration::from_nanos(u64::from(live.elapsed().subsec_nanos()));
        let wait = Duration::from_millis(1_005) - into_second;
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = ends.wait() => return,
        }
        let mut text = String::new();
        for event in stage.events.since(next_event) {
            next_event = event.number + 1;
            text.push_str(&format!("{}\n", plain::event(&event)));
        }
        text.push_str(&format!("{}\n", plain::line(&take())));
        if print(&text).is_err() {
            return;
        }
    }
}

async fn on_terminal(stage: &Arc<Stage>, take: &impl Fn() -> Picture, ends: &mut Ends) -> io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let shown = interact(&mut terminal, stage, take, ends).await;
    if terminal.show_cursor().is_err() {
        // The terminal is gone (its window closed). Dropping this would try again, and complain to standard
        // error, which is that terminal too: a panic.
        std::mem::forget(terminal);
    }
    ratatui::try_restore()?;
    shown
}

async fn interact(
    terminal: &mut DefaultTerminal,
    stage: &Arc<Stage>,
    take: &impl Fn() -> Picture,
    ends: &mut Ends,
) -> io::Result<()> {
    let mut keys = keys();
    let mut choice = Choice::default();
    let commands = switchboard::things_to_try(stage);
    let mut draws = tokio::time::interval(DRAW_EVERY);
    draws.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = draws.tick() => {}
            () = ends.wait() => return Ok(()),
            event = keys.recv() => match event.as_ref().map(|event| meaning(event, choice, stage.topology.clusters.len())) {
                None | Some(Meaning::Quit) => return Ok(()),
                Some(Meaning::Choose(new)) => choice = new,
                Some(Meaning::Act(action, endpoint)) => act(stage, choice.cluster, endpoint, action),
                Some(Meaning::Nothing) => {}
            },
        }
        let picture = take();
        terminal.draw(|frame| view::draw(frame, &picture, choice, &commands))?;
    }
}

/// In a task: an origin that is slow to answer must not stop the clock on the screen.
fn act(stage: &Arc<Stage>, cluster: usize, endpoint: Option<usize>, action: Action) {
    let Some(name) = stage.topology.clusters.get(cluster).map(|spec| spec.name.clone()) else { return };
    let stage = stage.clone();
    tokio::spawn(async move {
        if let Err(Refused::Unknown(problem) | Refused::Failed(problem)) =
            stage.act(&name, endpoint, action).await
        {
            stage.events.say(Voice::Trouble, problem);
        }
    });
}

/// What a key means.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Quit,
    Choose(Choice),
    Act(Action, Option<usize>),
    Nothing,
}

fn meaning(event: &TerminalEvent, choice: Choice, clusters: usize) -> Meaning {
    let TerminalEvent::Key(key) = event else { return Meaning::Nothing };
    if key.kind == KeyEventKind::Release {
        return Meaning::Nothing;
    }
    let behave = |fault: Fault| Action::Behave(Behaviour::from(fault));
    let choose = |cluster| Meaning::Choose(Choice { cluster, ..choice });
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Meaning::Quit,
        KeyCode::Char('?') => Meaning::Choose(Choice { help: !choice.help, ..choice }),
        KeyCode::Esc if choice.help => Meaning::Choose(Choice { help: false, ..choice }),
        KeyCode::Char('q') => Meaning::Quit,
        KeyCode::Char(digit @ '1'..='9') if (digit as usize - '1' as usize) < clusters => {
            choose(digit as usize - '1' as usize)
        }
        KeyCode::Down | KeyCode::Tab | KeyCode::Char('j') => choose((choice.cluster + 1) % clusters),
        KeyCode::Up | KeyCode::BackTab => choose((choice.cluster + clusters - 1) % clusters),
        KeyCode::Char('k') => Meaning::Act(Action::Kill, None),
        KeyCode::Char('s') => Meaning::Act(behave(Fault::Slow(Duration::from_millis(800))), None),
        KeyCode::Char('e') => Meaning::Act(behave(Fault::Err { percent: 10 }), None),
        KeyCode::Char('h') => Meaning::Act(behave(Fault::Hang), Some(0)),
        KeyCode::Char('r') => Meaning::Act(Action::Restore, None),
        _ => Meaning::Nothing,
    }
}

/// Keys, from a thread: reading a terminal blocks. It ends with the process.
fn keys() -> mpsc::UnboundedReceiver<TerminalEvent> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        while let Ok(event) = crossterm::event::read() {
            if sender.send(event).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Everything but a key that ends the demo.
struct Ends {
    signals: [Signal; 3],
    deadline: Option<tokio::time::Instant>,
}

impl Ends {
    fn new(duration: Option<Duration>) -> io::Result<Ends> {
        let signals = [
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ];
        Ok(Ends { signals, deadline: duration.map(|duration| tokio::time::Instant::now() + duration) })
    }

    async fn wait(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        let deadline = self.deadline;
        let time_is_up = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            () = time_is_up => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyEvent;

    use super::*;

    fn press(code: KeyCode, choice: Choice) -> Meaning {
        meaning(&TerminalEvent::Key(KeyEvent::new(code, KeyModifiers::NONE)), choice, 3)
    }

    #[test]
    fn keys_choose_round_and_round() {
        let at = |cluster| Choice { cluster, help: false };
        assert_eq!(press(KeyCode::Char('3'), at(0)), Meaning::Choose(at(2)));
        assert_eq!(press(KeyCode::Char('4'), at(0)), Meaning::Nothing);
        assert_eq!(press(KeyCode::Down, at(2)), Meaning::Choose(at(0)));
        assert_eq!(press(KeyCode::Up, at(0)), Meaning::Choose(at(2)));
    }

    #[test]
    fn keys_break_and_mend() {
        let choice = Choice::default();
        assert_eq!(press(KeyCode::Char('k'), choice), Meaning::Act(Action::Kill, None));
        assert_eq!(press(KeyCode::Char('r'), choice), Meaning::Act(Action::Restore, None));
        assert_eq!(
            press(KeyCode::Char('h'), choice),
            Meaning::Act(Action::Behave(Fault::Hang.into()), Some(0))
        );
    }

    #[test]
    fn ctrl_c_is_a_key_in_raw_mode_and_ends_it() {
        let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(meaning(&TerminalEvent::Key(key), Choice::default(), 3), Meaning::Quit);
        assert_eq!(press(KeyCode::Char('c'), Choice::default()), Meaning::Nothing);
        assert_eq!(press(KeyCode::Char('q'), Choice::default()), Meaning::Quit);
    }
}
