//! The one place where all numbers of a node can be read.

use crate::family::{Family, FamilyKind};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// All sources of numbers of a node. Cheap to clone.
#[derive(Clone, Default)]
pub struct MetricsRegistry {
    sources: Arc<Mutex<Vec<Source>>>,
}

/// Reads some numbers.
type Source = Box<dyn Fn(&mut Families) + Send + Sync>;

/// The numbers that have been read so far.
#[derive(Debug, Default)]
pub struct Families(Vec<Family>);

impl MetricsRegistry {
    /// Adds a source, which is called whenever numbers are collected. It must not wait.
    pub fn register(&self, source: impl Fn(&mut Families) + Send + Sync + 'static) {
        self.lock().push(Box::new(source));
    }

    /// All numbers as they are now, in the order of their names.
    pub fn collect(&self) -> Vec<Family> {
        let mut families = Families::default();
        self.lock().iter().for_each(|source| source(&mut families));
        families.0.sort_by_key(|family| family.name);
        families.0
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Source>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MetricsRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MetricsRegistry({} sources)", self.lock().len())
    }
}

impl Families {
    /// The counter of this name, which ends with `_total`.
    pub fn counter(&mut self, name: &'static str, help: &'static str) -> &mut Family {
        self.family(name, help, FamilyKind::Counter)
    }

    /// The gauge of this name.
    pub fn gauge(&mut self, name: &'static str, help: &'static str) -> &mut Family {
        self.family(name, help, FamilyKind::Gauge)
    }

    /// The histogram of this name, which ends with `_seconds`.
    pub fn histogram(&mut self, name: &'static str, help: &'static str) -> &mut Family {
        self.family(name, help, FamilyKind::Histogram)
    }

    /// Two sources may add to one family.
    fn family(&mut self, name: &'static str, help: &'static str, kind: FamilyKind) -> &mut Family {
        let index = self.0.iter().position(|family| family.name == name).unwrap_or_else(|| {
            self.0.push(Family::new(name, help, kind));
            self.0.len() - 1
        });
        &mut self.0[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::SampleValue;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    #[test]
    fn a_source_is_read_at_each_collection() {
        let (registry, count) = (MetricsRegistry::default(), Arc::new(AtomicU64::new(1)));
        let counted = count.clone();
        registry.register(move |families| {
            families.counter("kv_things_total", "Things").set(counted.load(Relaxed));
        });
        registry.register(|families| families.gauge("kv_a", "First by name").add(&[("node", "a")], true));
        count.store(7, Relaxed);
        let families = registry.clone().collect();
        let names: Vec<_> = families.iter().map(|family| family.name).collect();
        assert_eq!(names, ["kv_a", "kv_things_total"]);
        assert_eq!(families[0].value(&[("node", "a")]), Some(&SampleValue::Integer(1)));
        assert_eq!(families[1].value(&[]), Some(&SampleValue::Integer(7)));
    }

    #[test]
    fn two_sources_may_add_to_one_family() {
        let registry = MetricsRegistry::default();
        for node in ["a", "b"] {
            registry.register(move |families| families.gauge("kv_up", "").add(&[("node", node)], true));
        }
        let families = registry.collect();
        assert_eq!((families.len(), families[0].samples.len()), (1, 2));
    }
}
