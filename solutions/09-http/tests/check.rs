//! The finished plugin of this step, through the learner's checks.

#[test]
fn passes_every_check_of_step_9() {
    let program = env!("CARGO_BIN_EXE_solution-09").as_ref();
    let report = stand_in::grade(9, program).unwrap();
    assert!(report.passed(), "\n{report}");
}
