//! Routes with all that a configuration says of them, as a node that joins a cluster learns and saves them.
//! Nodes that link send each other less.

use crate::{
    node_name::NodeName,
    routing::{Route, Routes, range::NameRange},
};
use serde::{Deserialize, Serialize};

/// The routes of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WholeRoutes {
    spans: Vec<WholeRoute>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct WholeRoute {
    buckets: String,
    range: NameRange,
    nodes: Box<[NodeName]>,
    is_durable: bool,
    confirms_reads: bool,
}

impl WholeRoutes {
    pub(crate) fn of(routes: &Routes) -> WholeRoutes {
        let whole = |route: &Route| {
            let Route { buckets, range, nodes, is_durable, confirms_reads } = route.clone();
            WholeRoute { buckets, range, nodes, is_durable, confirms_reads }
        };
        WholeRoutes { spans: routes.spans.iter().map(whole).collect() }
    }

    pub(crate) fn routes(&self) -> Routes {
        let route = |whole: &WholeRoute| {
            let WholeRoute { buckets, range, nodes, is_durable, confirms_reads } = whole.clone();
            Route { buckets, range, nodes, is_durable, confirms_reads }
        };
        Routes { spans: self.spans.iter().map(route).collect() }
    }
}
