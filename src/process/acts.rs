//! What a program does to other processes, in whatever language it is written: the one place where it is asked whether it
//! may, and where failures get their words.
//!
//! Each function acts for the process `own`. What becomes of the others is the kernel's business; how a program names them
//! and hands over its values is its engine's.

use std::sync::{Arc, Weak};

use super::{Host, Kernel, Permission, Process, Program, Spawn, Ties, Topic};
use crate::error::{Error, Kind, Result};
use crate::id::{EntryId, Pid};
use crate::value::Packed;

/// A relation to another process, made or undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    Monitor,
    Unmonitor,
    Link,
    Unlink,
}

impl Relation {
    /// As programs call it.
    pub const fn name(self) -> &'static str {
        match self {
            Relation::Monitor => "monitor",
            Relation::Unmonitor => "unmonitor",
            Relation::Link => "link",
            Relation::Unlink => "unlink",
        }
    }

    const fn permission(self) -> Permission {
        match self {
            Relation::Monitor => Permission::Monitor,
            Relation::Unmonitor => Permission::Unmonitor,
            Relation::Link => Permission::Link,
            Relation::Unlink => Permission::Unlink,
        }
    }
}

/// Whether a program may send under that topic.
///
/// # Errors
/// Invalid for those of the runtime.
pub fn check_topic(topic: &str) -> Result<()> {
    match topic.starts_with('@') {
        true => Err(Error::invalid("cannot send to @ topics")),
        false => Ok(()),
    }
}

/// Whom a program sends to. Kept from message to message, it spares all but the first the search for the process.
pub struct Recipient {
    pid: Pid,
    /// The process, once it was found. When it has ended, nothing of it is kept alive.
    process: Weak<Process>,
}

impl From<Pid> for Recipient {
    fn from(pid: Pid) -> Recipient {
        Recipient {
            pid,
            process: Weak::new(),
        }
    }
}

impl Recipient {
    pub fn pid(&self) -> &Pid {
        &self.pid
    }
}

/// Queues a message, whose topic was checked.
///
/// # Errors
/// PermissionDenied; as [`Kernel::send`].
pub fn send(own: &Process, to: &mut Recipient, topic: Topic, payload: Packed) -> Result<()> {
    own.kernel().authorize(own, Permission::Send, &to.pid)?;
    if own.is_doomed() {
        // Packing can take so long that its end has been told meanwhile: nothing may come from it afterwards.
        return Err(Error::internal("process terminated"));
    }
    let process = match to.process.upgrade().filter(|process| !process.is_doomed()) {
        Some(process) => process,
        None => {
            let process = own.kernel().reader(&to.pid)?;
            to.process = Arc::downgrade(&process);
            process
        }
    };
    own.kernel().deliver(Some(own.pid()), process, topic, payload)
}

/// Ends a process, maybe oneself: whoever called looks at [`Process::is_doomed`] before the program goes on.
///
/// # Errors
/// PermissionDenied; Internal for one that does not live.
pub fn terminate(own: &Process, target: &Pid) -> Result<()> {
    own.kernel().authorize(own, Permission::Terminate, target)?;
    let result = own.kernel().terminate(target);
    result.map_err(|error| within(&error, "terminate"))
}

/// Queues a CANCEL.
///
/// # Errors
/// PermissionDenied; Internal for one that does not live.
pub fn cancel(own: &Process, target: &Pid, reason: &str) -> Result<()> {
    own.kernel().authorize(own, Permission::Cancel, target)?;
    let result = own.kernel().cancel(Some(own.pid()), target, reason);
    result.map_err(|error| within(&error, "cancel"))
}

/// Makes or undoes a relation.
///
/// # Errors
/// PermissionDenied; Invalid for oneself; Internal for one that does not live or is monitored already.
pub fn relate(own: &Arc<Process>, relation: Relation, other: &Pid) -> Result<()> {
    own.kernel().authorize(own, relation.permission(), other)?;
    let kernel = own.kernel();
    let result = match relation {
        Relation::Monitor => kernel.monitor(own, other),
        Relation::Link => kernel.link(own, other),
        Relation::Unmonitor => {
            kernel.unmonitor(own, other);
            Ok(())
        }
        Relation::Unlink => {
            kernel.unlink(own, other);
            Ok(())
        }
    };
    result.map_err(|error| within(&error, relation.name()))
}

/// Gives oneself or another process a name.
///
/// # Errors
/// PermissionDenied; as [`Kernel::register`].
pub fn register(own: &Process, name: &str, holder: &Pid) -> Result<()> {
    let kernel = own.kernel();
    kernel.authorize(own, Permission::RegistryRegister, name)?;
    if holder != own.pid() {
        kernel.authorize(own, Permission::RegistryForeign, holder)?;
    }
    kernel.register(name, holder)
}

/// Frees a name; false when nobody held it.
///
/// # Errors
/// PermissionDenied.
pub fn unregister(own: &Process, name: &str) -> Result<bool> {
    let kernel = own.kernel();
    kernel.authorize(own, Permission::RegistryUnregister, name)?;
    if let Some(holder) = kernel.names().lookup(name).filter(|holder| holder != own.pid()) {
        kernel.authorize(own, Permission::RegistryForeign, holder)?;
    }
    Ok(kernel.unregister(name))
}

/// The process of that name.
///
/// # Errors
/// NotFound.
pub fn lookup(own: &Process, name: &str) -> Result<Pid> {
    let holder = own.kernel().names().lookup(name);
    holder.ok_or_else(|| Error::not_found("name not registered"))
}

/// The host that a spawn names.
///
/// # Errors
/// NotFound; that of a broken entry.
pub fn host(kernel: &Kernel, id: &EntryId) -> Result<Arc<Host>> {
    kernel.usable_host(id, || "host not found".to_owned())
}

/// The permissions that a spawn with these ties needs.
pub fn of_spawn(ties: Ties) -> impl Iterator<Item = Permission> {
    let required = [
        Some(Permission::Spawn),
        ties.monitor.then_some(Permission::SpawnMonitored),
        ties.link.then_some(Permission::SpawnLinked),
    ];
    required.into_iter().flatten()
}

/// Whether it may start that entry there; all of those permissions are required.
///
/// # Errors
/// PermissionDenied.
pub fn may_start(
    own: &Process,
    required: impl IntoIterator<Item = Permission>,
    entry: &str,
    host: &Host,
) -> Result<()> {
    for permission in required {
        own.kernel().authorize(own, permission, entry)?;
    }
    own.kernel().authorize(own, Permission::Host, host.id())
}

/// The spawn of a child, which inherits context and words.
pub fn child(own: &Arc<Process>, program: Arc<dyn Program>, host: Arc<Host>, args: Packed, ties: Ties) -> Spawn {
    Spawn {
        program,
        host,
        args,
        parent: Some(own.clone()),
        ties,
        observed: false,
        name: None,
        messages: Vec::new(),
        words: own.words().clone(),
        context: own.context().clone(),
    }
}

/// The failure of an operation on another process: Internal, saying which; a mistake of the caller stays Invalid.
fn within(error: &Error, doing: &str) -> Error {
    let kind = match error.kind() {
        Kind::Invalid => Kind::Invalid,
        _ => Kind::Internal,
    };
    error.clone().with_kind(kind).context(format!("{doing} failed"))
}
