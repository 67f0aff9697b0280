//! A ring under random operations agrees with a model that is too plain to be wrong.
//!
//! The operations and the model are those of the fuzz target `ring_ops`: after every operation each
//! sequence near the ring's is either the record that was published under it, bit for bit, or exactly
//! as absent as the model says; and the directory names for each record the series that lived when
//! it was published, in their columns, and no other.

#[allow(unreachable_pub, missing_docs, dead_code, reason = "a library of its own, included")]
#[path = "../fuzz/src/lib.rs"]
mod bodies;

use bodies::ring_op::Op;
use bodies::ring_ops::apply;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

proptest! {
    // The fuzz target looks for what is new; here the same is looked at each time.
    #![proptest_config(ProptestConfig {
        cases: 256,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn ring_agrees_with_the_model_after_every_operation(
        ops in prop::collection::vec(any::<[u8; Op::BYTES]>().prop_map(Op::of), 1..40),
    ) {
        apply(&ops);
    }
}
