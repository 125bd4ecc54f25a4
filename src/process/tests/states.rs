//! What a process is seen to be doing.

use super::*;
use crate::process::State;

#[test]
fn a_process_shows_what_it_is_doing() {
    let world = World::unmanned(|_| {});
    let step = || world.kernel.scheduler().step_first(&world.kernel);
    let process = world.spawn(|process, _| async move {
        assert_eq!(process.state(), State::Running);
        receive(&process).await;
        std::future::pending().await
    });
    assert_eq!((process.state(), process.steps()), (State::Starting, 0));
    step();
    assert_eq!((process.state(), process.steps()), (State::Waiting, 1));
    send(&process, process.pid(), 1).unwrap();
    assert_eq!((process.state(), process.mailbox().len()), (State::Ready, 1));
    step();
    assert_eq!((process.state(), process.mailbox().len()), (State::Waiting, 0));
    world.kernel.terminate(process.pid()).unwrap();
    assert_eq!(process.state(), State::Exiting);
    step();
    assert!(process.exit().is_some() && world.kernel.find(process.pid()).is_none());
    let names = [
        State::Starting,
        State::Ready,
        State::Running,
        State::Waiting,
        State::Exiting,
    ]
    .map(State::as_str);
    assert_eq!(names, ["starting", "ready", "running", "waiting", "exiting"]);
}
