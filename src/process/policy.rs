//! Permissions: what a program asks of the runtime has a name, and one place decides. [`Kernel::authorize`] is asked
//! before it is done; without a [`Policy`] everything is allowed, at the price of one look.

use std::fmt::Display;
use std::sync::Arc;

use super::{Context, Kernel, Process};
use crate::error::{Error, Result};

/// Decides what may be done.
pub trait Policy: Send + Sync {
    /// Whether who runs in that context may do `action`, the [name](Permission::name) of a permission or a word of an
    /// application's own, to `resource`.
    fn allows(&self, context: &Context, action: &str, resource: &str) -> bool;
}

/// What can be permitted. What the resource of each is stands beside its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    Spawn,
    SpawnMonitored,
    SpawnLinked,
    Host,
    Send,
    Exec,
    Terminate,
    Cancel,
    Monitor,
    Unmonitor,
    Link,
    Unlink,
    Context,
    Security,
    RegistryRegister,
    RegistryUnregister,
    RegistryForeign,
    EnvGet,
    EnvSet,
    FsGet,
    FuncsCall,
    FuncsContext,
    FuncsSecurity,
}

impl Permission {
    /// The name that policies know it by.
    pub const fn name(self) -> &'static str {
        self.words().0
    }

    /// Its name, and what a denial calls it; the resource follows.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            // The id of an entry.
            Permission::Spawn => ("process.spawn", "spawn"),
            Permission::SpawnMonitored => ("process.spawn.monitored", "spawn and monitor"),
            Permission::SpawnLinked => ("process.spawn.linked", "spawn and link to"),
            Permission::Exec => ("process.exec", "execute"),
            // The id of a host.
            Permission::Host => ("process.host", "use host"),
            // A pid.
            Permission::Send => ("process.send", "send to"),
            Permission::Terminate => ("process.terminate", "terminate"),
            Permission::Cancel => ("process.cancel", "cancel"),
            Permission::Monitor => ("process.monitor", "monitor"),
            Permission::Unmonitor => ("process.unmonitor", "unmonitor"),
            Permission::Link => ("process.link", "link to"),
            Permission::Unlink => ("process.unlink", "unlink from"),
            Permission::RegistryForeign => ("process.registry.foreign", "name another process:"),
            // The name of a context value.
            Permission::Context => ("process.context", "set context value"),
            Permission::FuncsContext => ("funcs.context", "set context value"),
            // `actor` or `scope`.
            Permission::Security => ("process.security", "set the security"),
            Permission::FuncsSecurity => ("funcs.security", "set the security"),
            // A name.
            Permission::RegistryRegister => ("process.registry.register", "register name"),
            Permission::RegistryUnregister => ("process.registry.unregister", "unregister name"),
            // The key of a variable.
            Permission::EnvGet => ("env.get", "read variable"),
            Permission::EnvSet => ("env.set", "write variable"),
            // The id of a volume.
            Permission::FsGet => ("fs.get", "use filesystem"),
            // The id of a function.
            Permission::FuncsCall => ("funcs.call", "call"),
        }
    }
}

impl Kernel {
    /// Has that policy decide from now on. The first one stays.
    pub fn set_policy(&self, policy: Arc<dyn Policy>) {
        let first = self.policy().set(policy).is_ok();
        debug_assert!(first, "a kernel has one policy");
    }

    /// The one place where permissions are checked.
    ///
    /// # Errors
    /// PermissionDenied `not allowed to …`.
    pub fn authorize(&self, process: &Process, permission: Permission, resource: impl Display) -> Result<()> {
        let Some(policy) = self.policy().get() else {
            return Ok(());
        };
        let resource = resource.to_string();
        let (name, phrase) = permission.words();
        match policy.allows(process.context(), name, &resource) {
            true => Ok(()),
            false => Err(Error::permission_denied(format!("not allowed to {phrase} {resource}"))),
        }
    }

    /// Whether the policy allows an action that is not the runtime's.
    pub fn allows(&self, process: &Process, action: &str, resource: &str) -> bool {
        let policy = self.policy().get();
        policy.is_none_or(|policy| policy.allows(process.context(), action, resource))
    }
}
