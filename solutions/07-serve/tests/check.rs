//! The finished plugin of this step, through the learner's checks.

#[test]
fn passes_every_check_of_step_7() {
    let program = env!("CARGO_BIN_EXE_solution-07").as_ref();
    let report = stand_in::grade(7, program).unwrap();
    assert!(report.passed(), "\n{report}");
}
