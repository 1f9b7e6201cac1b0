# make, called in the folder of an exercise, calls the project's make: `make check`
# in 01-activate means `make check-exercise-1`, and so does `make check-exercise`.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules
# 01-activate -> 1
STEP := $(patsubst 0%,%,$(firstword $(subst -, ,$(lastword $(subst /, ,$(CURDIR))))))
PROJECT = @$(MAKE) --no-print-directory -C ../..

.PHONY: run check watch diff reset \
	run-exercise check-exercise watch-exercise diff-exercise reset-exercise hint

run check watch diff reset:
	$(PROJECT) $@-exercise-$(STEP)

run-exercise check-exercise watch-exercise diff-exercise reset-exercise hint:
	$(PROJECT) $@-$(STEP)

# The rule for all other targets would make these files, too.
Makefile ../step.mk: ;

%:
	$(PROJECT) $@
