"""Small plans over all axes that run, drawn by a seeded generator."""

from random import Random

from small_plans import GPT, LLAMA, MIXTURE, MLP, plan_of

SIZES = [2, 4, 4, 4, 6, 8, 8, 8]
SCHEDULES = [
    "gpipe",
    "1f1b",
    "interleaved",
    "zb-h1",
    "zb-h2",
    "zb-auto",
    "zb-v",
    "dualpipe",
]


def draw(seed):
    """Return the plan of a number.

    Raises:
        PlanError: what was drawn does not fit together.
    """
    random = Random(seed)
    text = random.choice([GPT, LLAMA, LLAMA, MIXTURE, MIXTURE, MLP])
    keys = _keys(random, text)
    return plan_of(text, **{key.replace(".", "__"): v for key, v in keys.items()})


def _keys(random, text):
    world = random.choice(SIZES)
    is_mlp = text is MLP
    tensor, pipeline, context, data = _cut(random, world, is_mlp=is_mlp)
    keys = {
        "cluster.devices_per_node": world,
        "parallelism.tensor": tensor,
        "parallelism.pipeline": pipeline,
        "batch.micro": random.choice([1, 2]),
        "training.optimizer": random.choice(["sgd", "momentum"]),
        "training.post_validation": random.random() < 0.2,
        "synchronization.overlap": random.random() < 0.5,
        "synchronization.bucket": random.choice(["1 kB", "10 kB", "30 kB", "25 MB"]),
    }
    microbatches = random.choice([1, 2, 3, 4, 6, 8])
    if pipeline > 1:
        keys |= _pipeline(random, pipeline)
        microbatches = random.choice([2, 3, 4]) * pipeline
    keys["batch.global"] = keys["batch.micro"] * microbatches * data
    if not is_mlp:
        keys |= _tokens(random, text, tensor, context)
    replicas = data * context
    if text is MIXTURE and random.random() < 0.7:
        keys["parallelism.expert"] = random.choice(
            [n for n in (1, 2, 4) if replicas % n == 0]
        )
    if replicas > 1:
        keys |= _states(random, replicas, pipeline, has_experts=text is MIXTURE)
    return keys


def _cut(random, world, *, is_mlp):
    """Return degrees whose product is the world's size."""
    degrees = [1, 1, 1, 1]
    primes = {2: [2], 4: [2, 2], 6: [3, 2], 8: [2, 2, 2]}[world]
    for prime in primes:
        places = [3] if prime == 3 else [0, 3] if is_mlp else [0, 1, 1, 2, 3, 3]
        degrees[random.choice(places)] *= prime
    return degrees


def _pipeline(random, pipeline):
    schedule = random.choice(SCHEDULES)
    keys = {"parallelism.schedule": schedule}
    if schedule == "dualpipe":
        keys["parallelism.overlap_passes"] = False  # of messages within passes
    stages = pipeline
    if schedule == "interleaved":
        keys["parallelism.virtual_stages"] = random.choice([2, 3])
        stages *= keys["parallelism.virtual_stages"]
    stages *= 2 if schedule == "zb-v" else 1
    keys["model.layers"] = stages * random.choice([1, 1, 2])
    return keys


def _tokens(random, text, tensor, context):
    again = "selective" if text is GPT else "full"
    keys = {
        "parallelism.context": context,
        "parallelism.recompute": random.choice(["none", "none", again, "full"]),
        "model.sequence_length": random.choice([8, 16]),
    }
    if tensor > 1:
        keys["parallelism.sequence"] = random.random() < 0.5
    if context > 1:
        keys["model.attention"] = "flash"
        keys["parallelism.recompute"] = random.choice(["none", "full"])
        keys["parallelism.context_method"] = random.choice(["ring", "all-gather"])
        keys["parallelism.context_balanced"] = random.random() < 0.7
    if random.random() < 0.2:
        keys["model.vocabulary"] = random.choice([72, 88])
    return keys


def _states(random, replicas, pipeline, *, has_experts):
    zero = random.choice([0, 0, 1, 3, 3])
    keys = {"parallelism.zero": zero}
    if zero and not has_experts and random.random() < 0.3:
        keys["parallelism.shard"] = random.choice(
            [n for n in range(1, replicas + 1) if replicas % n == 0]
        )
    if zero == 3:
        keys["parallelism.reshard"] = random.random() < 0.5
        if pipeline == 1 and random.random() < 0.4:
            keys["parallelism.reduce_each"] = random.random() < 0.5
    return keys
