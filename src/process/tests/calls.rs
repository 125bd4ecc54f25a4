//! Calls and pools, with a function whose instances count.

use super::*;
use crate::process::pool::{Chain, NESTED};

/// What a call is told to do.
#[derive(Clone, Copy)]
enum Order {
    Count = 0,
    Fail = 1,
    /// Waits for a message, whose number it returns, or for an event.
    Wait = 2,
}

/// Gives the number of the call in its instance.
struct Counter {
    entry: EntryId,
    /// Instances that exist.
    living: Arc<AtomicUsize>,
}

struct Counting {
    process: Option<Arc<Process>>,
    order: i64,
    calls: i64,
    living: Arc<AtomicUsize>,
}

impl Program for Counter {
    fn entry(&self) -> &EntryId {
        &self.entry
    }

    fn kind(&self) -> &'static str {
        "function.test"
    }

    fn max_execution(&self) -> Option<Duration> {
        None
    }

    fn warm(&self, process: Arc<Process>) -> Result<Box<dyn Body>> {
        let args = Packed::from_value(&Value::Int(Order::Count as i64));
        let mut warmed = self.make(Start { process, args });
        warmed.calls = -1;
        Ok(warmed)
    }

    fn start(&self, start: Start) -> Result<Box<dyn Body>> {
        Ok(self.make(start))
    }
}

impl Counter {
    fn make(&self, start: Start) -> Box<Counting> {
        self.living.fetch_add(1, Ordering::SeqCst);
        let mut made = Box::new(Counting {
            process: None,
            order: 0,
            calls: 0,
            living: self.living.clone(),
        });
        made.begin(start);
        made
    }
}

impl Counting {
    fn begin(&mut self, start: Start) {
        self.order = match start.args.to_value() {
            Ok(Value::Int(order)) => order,
            other => panic!("an order expected: {other:?}"),
        };
        self.process = Some(start.process);
    }
}

impl Body for Counting {
    fn step(&mut self, cx: &mut StepContext<'_>) -> Progress {
        if self.order == Order::Wait as i64 {
            return match cx.process.mailbox().take_any(true, true) {
                Some(Taken::Event(_)) => ended(-1),
                Some(message) => ended(number(message)),
                None => Progress::Waiting(Wait::Mailbox),
            };
        }
        self.calls += 1;
        match self.order == Order::Fail as i64 {
            true => Progress::Ended(Exit::failed(Error::internal("as told"))),
            false => ended(self.calls),
        }
    }

    fn memory(&self) -> u64 {
        0
    }

    fn recycle(self: Box<Self>) -> Option<Box<dyn Instance>> {
        Some(self)
    }
}

impl Instance for Counting {
    fn start(mut self: Box<Self>, _: &dyn Program, start: Start) -> std::result::Result<Box<dyn Body>, Declined> {
        self.begin(start);
        Ok(self)
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.living.fetch_sub(1, Ordering::SeqCst);
    }
}

fn ended(value: i64) -> Progress {
    Progress::Ended(Exit::returned(Packed::from_value(&Value::Int(value))))
}

/// A function in a pool, called by a process that does nothing else.
struct Function {
    world: World,
    caller: Arc<Process>,
    program: Arc<Counter>,
    pool: Arc<Pool>,
}

impl Function {
    fn new(size: usize, idle: Option<Duration>) -> Function {
        let world = World::new();
        let options = PoolOptions {
            size,
            reuse: true,
            idle,
            warm: size,
        };
        Function {
            caller: world.sleeper(),
            pool: Pool::new(options, world.io.handle().clone()),
            program: Arc::new(Counter {
                entry: EntryId::new("test", "counter"),
                living: Arc::default(),
            }),
            world,
        }
    }

    fn begin(&self, order: Order) -> impl Future<Output = Result<i64>> + Send + 'static {
        let call = Call {
            caller: self.caller.clone(),
            target: Target {
                id: self.program.entry.clone(),
                program: Resolved::Ready(Ok(self.program.clone())),
                place: Place::Pool(self.pool.clone()),
                options: Options::default(),
            },
            args: Packed::from_value(&Value::Int(order as i64)),
            context: Arc::default(),
            options: Options::default(),
        };
        async move {
            let value = call.run().await?.to_value()?;
            match value {
                Value::Int(number) => Ok(number),
                other => panic!("a number expected: {other:?}"),
            }
        }
    }

    fn call(&self, order: Order) -> Result<i64> {
        self.world.wait(self.begin(order))
    }

    /// Processes of the function, oldest first, as soon as there are `count`.
    fn processes(&self, count: usize) -> Vec<Arc<Process>> {
        let calls = || -> Vec<Arc<Process>> {
            let all = self.world.kernel.processes().into_iter();
            all.filter(|process| process.kind() == "function.test").collect()
        };
        self.until(|| calls().len() == count);
        calls()
    }

    fn until(&self, done: impl Fn() -> bool) {
        self.world.wait(async {
            while !done() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }

    fn living(&self) -> usize {
        self.program.living.load(Ordering::SeqCst)
    }

    fn tell(&self, process: &Arc<Process>, number: i64) {
        let payload = Packed::from_value(&Value::Int(number));
        self.world
            .kernel
            .send(None, process.pid(), "n".into(), payload)
            .unwrap();
    }
}

#[test]
fn an_instance_serves_one_call_after_the_other_failed_ones_too() {
    let function = Function::new(1, None);
    assert_eq!(function.call(Order::Count), Ok(1));
    assert_eq!(function.call(Order::Fail).unwrap_err().message(), "as told");
    assert_eq!(function.call(Order::Count), Ok(3));
    assert_eq!((function.living(), function.pool.idle()), (1, 1));
}

#[test]
fn the_instance_of_a_doomed_call_is_not_used_again() {
    let function = Function::new(1, None);
    assert_eq!(function.call(Order::Count), Ok(1));
    let waiting = function.world.io.spawn(function.begin(Order::Wait));
    function.processes(1)[0].doom(Exit::terminated());
    let error = function.world.wait(waiting).unwrap().unwrap_err();
    assert_eq!(error.message(), "process terminated");
    function.until(|| function.living() == 0);
    assert_eq!(function.call(Order::Count), Ok(1));
}

#[test]
fn a_pool_runs_no_more_calls_at_once_than_its_size_and_the_others_in_order() {
    let function = Function::new(2, None);
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let mut call = Box::pin(function.begin(Order::Wait));
            let _in_io = function.world.io.enter();
            let begun = call
                .as_mut()
                .poll(&mut TaskContext::from_waker(std::task::Waker::noop()));
            assert!(begun.is_pending());
            function.world.io.spawn(call)
        })
        .collect();
    let first = function.processes(2);
    function.tell(&first[0], 10);
    function.until(|| first[0].exit().is_some());
    let second = function.processes(2);
    assert_eq!(second[0].pid(), first[1].pid());
    for (process, number) in [(&second[0], 11), (&second[1], 12)] {
        function.tell(process, number);
        function.until(|| process.exit().is_some());
    }
    function.tell(&function.processes(1)[0], 13);
    for (call, number) in calls.into_iter().zip([10, 11, 12, 13]) {
        assert_eq!(function.world.wait(call).unwrap(), Ok(number));
    }
    assert_eq!(function.living(), 2);
}

#[test]
fn a_call_that_is_given_up_is_stopped_and_gives_its_place_back() {
    let function = Function::new(1, None);
    let call = function.world.io.spawn(function.begin(Order::Wait));
    let process = function.processes(1).remove(0);
    call.abort();
    assert_eq!(function.world.exit(&process).cause, Cause::Terminated);
    let call = function.world.io.spawn(function.begin(Order::Wait));
    let process = function.processes(1).remove(0);
    process.set_hears_cancel(true);
    call.abort();
    let exit = function.world.exit(&process);
    assert_eq!(
        exit.result,
        Ok(Packed::from_value(&Value::Int(-1))),
        "it has read the CANCEL"
    );
}

#[test]
fn idle_instances_are_dropped_in_time_and_others_made_when_needed() {
    let function = Function::new(4, Some(Duration::from_millis(20)));
    for _ in 0..2 {
        assert_eq!(function.call(Order::Count), Ok(1));
        function.until(|| function.living() == 0);
        assert_eq!(function.pool.idle(), 0);
    }
}

#[test]
fn a_warm_start_makes_the_instances_before_the_first_call() {
    let function = Function::new(3, None);
    let program: Arc<dyn Program> = function.program.clone();
    function.world.kernel.warm(&function.pool, &program);
    function.until(|| function.pool.idle() == 3);
    assert_eq!(function.call(Order::Count), Ok(1));
    assert_eq!(function.living(), 3);
}

#[test]
fn a_closed_pool_keeps_nothing() {
    let function = Function::new(2, None);
    assert_eq!(function.call(Order::Count), Ok(1));
    function.pool.close();
    assert_eq!(function.living(), 0);
    assert_eq!(function.call(Order::Count), Ok(1));
    assert_eq!(function.living(), 0);
}

#[test]
fn an_instance_beyond_the_size_of_the_pool_is_not_kept() {
    let function = Function::new(1, None);
    let outer = Arc::new(Chain::new(function.program.entry.clone(), None));
    let inner = Chain::new(function.program.entry.clone(), Some(outer.clone()));
    let bodies = [&*outer, &inner].map(|chain| {
        let lease = function.world.wait(function.pool.lease(chain)).unwrap();
        let start = Start {
            process: function.caller.clone(),
            args: Packed::from_value(&Value::Int(Order::Count as i64)),
        };
        lease.start(&*function.program, start).unwrap()
    });
    assert_eq!(function.living(), 2, "the inner one would wait for itself");
    drop(bodies);
    assert_eq!((function.living(), function.pool.idle()), (1, 1));
}

#[test]
fn a_stopped_functions_host_says_that_the_pool_is_not_up() {
    let function = Function::new(1, None);
    let kernel = function.world.kernel.clone();
    function.world.wait(kernel.stop_host(kernel.functions()));
    let error = function.call(Order::Count).unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (Kind::NotFound, "pool not found: test:counter")
    );
}

#[test]
fn a_call_is_a_process() {
    let function = Function::new(1, None);
    let call = function.world.io.spawn(function.begin(Order::Wait));
    let process = function.processes(1).remove(0);
    let kernel = &function.world.kernel;
    assert!(process.is_call() && kernel.find(process.pid()).is_some());
    kernel.register("called", process.pid()).unwrap();
    let watcher = function.world.sleeper();
    kernel.monitor(&watcher, process.pid()).unwrap();
    kernel.terminate(process.pid()).unwrap();
    let failed = function.world.wait(call).unwrap().unwrap_err();
    assert_eq!(failed.message(), "process terminated");
    function.until(|| watcher.mailbox().has_event());
    assert!(kernel.find(process.pid()).is_none());
    assert_eq!(kernel.names().lookup("called"), None);
}

#[test]
fn calls_are_nested_no_deeper_than_the_bound() {
    let function = EntryId::new("app", "f");
    let longer = |caller, _| Some(Arc::new(Chain::new(function.clone(), caller)));
    let chain = (0..NESTED).fold(None, longer);
    assert!(chain.as_ref().unwrap().check().is_ok());
    let refused = longer(chain, 0).unwrap().check().unwrap_err();
    assert_eq!(refused.kind(), Kind::LimitExceeded);
    assert_eq!(refused.message(), "app:f is nested more than 1000 calls deep");
}
