//! The routers. A router is a file (or, with mathematics of its own, a folder) and its two lines here.

pub(crate) mod comet;
pub(crate) mod dselect_k;
pub(crate) mod expert_choice;
pub(crate) mod hash;
pub(crate) mod moesart;
pub(crate) mod noisy_top_k;
pub(crate) mod oracle;
pub(crate) mod softmax;
pub(crate) mod static_gate;
pub(crate) mod switch;
pub(crate) mod top_k;
pub(crate) mod v_moe;
pub(crate) mod x_moe;

use crate::registry::entry::RouterEntry;

/// The routers of this crate, in the order in which they are listed.
pub(crate) fn entries() -> Vec<RouterEntry> {
    vec![
        softmax::Softmax::entry(),
        top_k::TopK::entry(),
        noisy_top_k::NoisyTopK::entry(),
        hash::HashRouter::entry(),
        oracle::Oracle::entry(),
        static_gate::StaticGate::entry(),
        dselect_k::dselect_k::DSelectK::entry(),
        comet::comet::Comet::entry(),
        moesart::moesart::Moesart::entry(),
        switch::Switch::entry(),
        v_moe::VMoe::entry(),
        expert_choice::ExpertChoice::entry(),
        x_moe::XMoe::entry(),
    ]
}
