# Each recipe is a command that a person could type. The checker has the logic.
# The file works with make 3.81, POSIX sh, and the tools of macOS.
.DEFAULT_GOAL := help
# No built-in rule of make applies to these targets.
MAKEFLAGS += --no-builtin-rules
CHECKER = @sh docker/checker/run.sh
PROVER = @sh docker/prover/run.sh

STEPS := $(sort $(notdir $(wildcard solutions/[0-9][0-9]-*)))
# 01-activate -> 1
NUMBERS := $(foreach step,$(STEPS),$(patsubst 0%,%,$(firstword $(subst -, ,$(step)))))

RUN_EXERCISES := $(NUMBERS:%=run-exercise-%)
RUN_SOLUTIONS := $(NUMBERS:%=run-solution-%)
CHECK_EXERCISES := $(NUMBERS:%=check-exercise-%)
CHECK_SOLUTIONS := $(NUMBERS:%=check-solution-%)
WATCHES := $(NUMBERS:%=watch-exercise-%)
HINTS := $(NUMBERS:%=hint-%)
DIFFS := $(NUMBERS:%=diff-exercise-%)
RESETS := $(NUMBERS:%=reset-exercise-%)

.PHONY: help class doctor status sandbox sandbox-restart sandbox-rm rescue slides slides-pdf test lint bench \
	$(RUN_EXERCISES) $(RUN_SOLUTIONS) $(CHECK_EXERCISES) $(CHECK_SOLUTIONS) \
	$(WATCHES) $(HINTS) $(DIFFS) $(RESETS) \
	run-exercise run-solution check-exercise check-solution watch-exercise hint \
	diff-exercise reset-exercise

## help: list these commands
help:
	@echo "Build your own Docker plugin, in Rust. N is a step: $(NUMBERS)"
	@sed -n 's/^## //p' Makefile | while IFS=: read -r target text; do \
		printf '  make %-18s%s\n' "$$target" "$$text"; done

## class: make one table of the reports in DIR=FOLDER (written with JSON=1)
class:
	$(CHECKER) class $(if $(DIR),"$(DIR)")

## doctor: say what this machine has, and what you can do with that
doctor:
	$(CHECKER) doctor

## status: show how far you are in each step
status:
	$(CHECKER) status

## run-exercise-N: run your plugin (in the sandbox, Docker finds it)
$(RUN_EXERCISES): run-exercise-%:
	$(CHECKER) run exercise $*

## run-solution-N: run the finished plugin of step N
$(RUN_SOLUTIONS): run-solution-%:
	$(CHECKER) run solution $*

## check-exercise-N: grade your plugin (AGAINST=docker: by a real dockerd)
$(CHECK_EXERCISES): check-exercise-%:
	$(CHECKER) check exercise $*

## check-solution-N: grade the finished plugin
$(CHECK_SOLUTIONS): check-solution-%:
	$(CHECKER) check solution $*

## watch-exercise-N: grade your plugin after every save
$(WATCHES): watch-exercise-%:
	$(CHECKER) watch $*

## hint-N: give the next hint for the hole that is next (HOLE=N.M: for another)
$(HINTS): hint-%:
	$(CHECKER) hint $*

## diff-exercise-N: compare your plugin with the finished one
$(DIFFS): diff-exercise-%:
	$(CHECKER) diff $*

## reset-exercise-N: start step N again, and keep a copy of your work
$(RESETS): reset-exercise-%:
	$(CHECKER) reset $*

## sandbox: open a shell with a dockerd of its own, which you may crash
sandbox:
	@sh docker/sandbox.sh run

## sandbox-restart: restart the sandbox's dockerd
sandbox-restart:
	@sh docker/sandbox.sh restart

## sandbox-rm: remove the sandbox, but keep its caches
sandbox-rm:
	@sh docker/sandbox.sh rm

## rescue: remove what killed plugins have left
rescue:
	$(CHECKER) rescue

## slides: show the slides on http://localhost:8000 (PORT=N: port N)
slides:
	@sh slides/run.sh serve

## slides-pdf: print the slides as slides.pdf
slides-pdf:
	@sh slides/run.sh pdf slides.pdf

## test: run every proof that this machine can run
test:
	$(PROVER) test

## lint: check formatting, clippy and the rest that needs no run
lint:
	$(PROVER) lint

## bench: measure, and print ratios (ONLY=FIGURES, STEP=N, AGAINST_STEP=N)
bench:
	$(PROVER) bench

# These rules get the numbers that no rule above has: 04 is step 4.
run-exercise-% run-solution-% check-exercise-% check-solution-% watch-exercise-% hint-% diff-exercise-% reset-exercise-%:
	@step=$$(echo "$*" | sed 's/^0*//'); case " $(NUMBERS) " in \
		*" $$step "*) exec $(MAKE) --no-print-directory $(patsubst %$*,%,$@)$$step ;; \
		esac; echo "make: there is no step $*; there are $(NUMBERS)" >&2; exit 2

# Without a number, the checker takes the step that a learner is in.
run-exercise check-exercise:
	$(CHECKER) $(subst -, ,$@)
watch-exercise diff-exercise hint:
	$(CHECKER) $(firstword $(subst -, ,$@))

run-solution check-solution reset-exercise:
	@echo "make: $@ needs a step: make $@-1, for example; there are $(NUMBERS)" >&2; exit 2
