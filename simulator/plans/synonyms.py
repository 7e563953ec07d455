"""What others call our keys and values: Megatron, DeepSpeed, torchtitan, transformers.

Names are compared in small letters, with `_` for `-`. They are written down from memory
of those projects' options, and serve for hints only: no plan is read by them.
"""

from __future__ import annotations

from collections.abc import Mapping

KEYS: dict[str, tuple[str, ...]] = {
    "model.layers": (
        *("num_layers", "n_layers", "n_layer", "num_hidden_layers", "depth"),
        *("num_blocks", "n_blocks"),
    ),
    "model.hidden": (
        *("hidden_size", "d_model", "n_embd", "dim", "hidden_dim", "embed_dim"),
        "width",
    ),
    "model.heads": ("num_attention_heads", "num_heads", "n_heads", "n_head"),
    "model.kv_heads": (
        *("num_key_value_heads", "n_kv_heads", "num_kv_heads", "num_query_groups"),
        *("query_groups", "gqa"),
    ),
    "model.head_width": ("head_dim", "kv_channels", "d_head"),
    "model.feed_forward": (
        *("ffn_hidden_size", "intermediate_size", "ffn_dim", "d_ff", "ffn", "n_inner"),
        "ffn_hidden",
    ),
    "model.sequence_length": (
        *("seq_len", "seq_length", "seqlen", "max_seq_len", "block_size"),
        *("max_position_embeddings", "n_positions", "context_length", "max_length"),
        *("encoder_seq_length", "tokens_per_sample"),
    ),
    "model.vocabulary": ("vocab_size", "vocab", "padded_vocab_size", "n_vocab"),
    "model.attention": ("attn_implementation", "use_flash_attn", "flash_attention"),
    "model.experts": (
        *("num_experts", "n_experts", "num_local_experts", "n_routed_experts"),
        "moe_num_experts",
    ),
    "model.top_k": ("topk", "num_experts_per_tok", "moe_router_topk", "moe_top_k"),
    "model.expert_feed_forward": ("moe_intermediate_size", "moe_ffn_hidden_size"),
    "model.capacity_factor": ("moe_expert_capacity_factor", "expert_capacity"),
    "model.image": ("image_size", "resolution", "img_size"),
    "batch.global": (
        *("gbs", "global_batch", "global_batch_size", "train_batch_size"),
        "batch_size",
    ),
    "batch.micro": (
        *("mbs", "micro_batch", "micro_batch_size", "microbatch", "microbatch_size"),
        *("train_micro_batch_size_per_gpu", "per_device_train_batch_size"),
        *("local_batch_size", "device_batch_size", "per_gpu_batch_size"),
    ),
    "parallelism.tensor": (
        *("tp", "tp_size", "tp_degree", "tensor_parallel", "tensor_parallelism"),
        *("tensor_parallel_size", "tensor_parallel_degree", "tensor_model_parallel"),
        *("tensor_model_parallel_size", "model_parallel_size", "mp", "mp_size"),
    ),
    "parallelism.pipeline": (
        *("pp", "pp_size", "pp_degree", "pipeline_parallel", "pipeline_parallelism"),
        *("pipeline_parallel_size", "pipeline_parallel_degree", "num_stages"),
        *("pipeline_model_parallel_size", "pipeline_model_parallel"),
    ),
    "parallelism.context": (
        *("cp", "cp_size", "cp_degree", "context_parallel", "context_parallelism"),
        *("context_parallel_size", "context_parallel_degree"),
        *("sequence_parallel_size", "ring_attention"),
    ),
    "parallelism.data": (
        *("dp", "dp_size", "dp_degree", "data_parallel", "data_parallelism"),
        *("data_parallel_size", "data_parallel_replicate_degree", "replicas", "ddp"),
        "dp_replicate",
    ),
    "parallelism.expert": (
        *("ep", "ep_size", "ep_degree", "expert_parallel", "expert_parallelism"),
        *("expert_parallel_size", "expert_parallel_degree"),
        "expert_model_parallel_size",
    ),
    "parallelism.expert_tensor": (
        *("etp", "expert_tensor_parallel_size", "expert_tensor_parallel_degree"),
        "moe_tensor_parallel_size",
    ),
    "parallelism.zero": (
        *("zero_stage", "zero_optimization", "stage", "sharding_strategy", "sharding"),
    ),
    "parallelism.shard": (
        *("data_parallel_shard_degree", "dp_shard", "shard_size", "hsdp"),
        "zero_hpz_partition_size",
    ),
    "parallelism.reshard": ("reshard_after_forward",),
    "parallelism.overlap_gather": ("overlap_param_gather",),
    "parallelism.sequence": ("sequence_parallel", "sequence_parallelism", "sp"),
    "parallelism.async_tensor": (
        *("async_tensor_parallel", "enable_async_tensor_parallel", "async_tp"),
        "tp_comm_overlap",
    ),
    "parallelism.overlap_passes": (
        *("overlap_moe_expert_parallel_comm", "moe_fb_overlap"),
    ),
    "parallelism.context_method": ("cp_comm_type", "context_parallel_rotate_method"),
    "parallelism.schedule": ("pipeline_schedule", "pipeline_parallel_schedule"),
    "parallelism.virtual_stages": (
        *("vpp", "vp", "interleave", "num_virtual_stages", "virtual_pipeline"),
        *("virtual_pipeline_model_parallel_size", "num_model_chunks"),
        *("virtual_pipeline_parallel_size", "chunks"),
    ),
    "parallelism.recompute": (
        *("activation_checkpointing", "gradient_checkpointing", "checkpointing"),
        *("recompute_granularity", "checkpoint_activations", "activation_checkpoint"),
        *("recomputation", "remat"),
    ),
    "training.precision": (
        *("dtype", "torch_dtype", "mixed_precision", "mixed_precision_param", "amp"),
        "params_dtype",
    ),
    "training.gradient_precision": (
        *("grad_dtype", "grad_reduce_in_fp32", "accumulate_allreduce_grads_in_fp32"),
        *("mixed_precision_reduce", "reduce_dtype", "main_grads_dtype"),
    ),
    "training.optimizer": ("optim", "optimizer_name", "optimizer_type"),
    "training.fused_accumulation": ("gradient_accumulation_fusion",),
    "synchronization.overlap": (
        *("overlap_grad_reduce", "overlap_comm", "overlap_gradients"),
        "delay_allreduce",
    ),
    "synchronization.bucket": (
        *("bucket_cap_mb", "ddp_bucket_size", "bucket_size", "reduce_bucket_size"),
        "allreduce_bucket_size",
    ),
    "synchronization.algorithm": ("nccl_algo", "allreduce_algorithm"),
    "cluster.device": ("gpu", "gpus", "gpu_type", "device_type", "accelerator"),
    "cluster.nodes": ("num_nodes", "nnodes", "n_nodes", "hosts", "machines"),
    "cluster.devices_per_node": (
        *("gpus_per_node", "num_gpus_per_node", "nproc_per_node", "ngpu", "num_gpus"),
        *("devices", "num_devices", "gpus_per_host"),
    ),
    "cluster.fabric": ("nvlink", "intra_node", "intranode", "intra_node_link"),
    "cluster.network.link": ("interconnect", "inter_node", "internode", "network_link"),
    "cluster.network.adapters_per_node": (
        *("nics", "num_nics", "nics_per_node", "adapters", "hcas", "num_hcas"),
        "rails",
    ),
    "cluster.network.oversubscription": ("oversubscription_ratio", "blocking_factor"),
    "cluster": ("hardware", "machine", "system"),
    "cluster.network": ("network", "fabric_network"),
    "training": ("train",),
    "synchronization": ("sync", "communication", "comm"),
    "parallelism": ("parallel", "mesh", "distributed", "strategy"),
}

_WRITE: dict[str, tuple[str, ...]] = {
    "parallelism.zero = 1": ("use_distributed_optimizer", "distributed_optimizer"),
    "parallelism.zero = 2": ("zero2",),
    "parallelism.zero = 3": ("fsdp", "fsdp2", "fully_shard", "zero3"),
    'training.precision = "bf16"': ("bf16", "bfloat16"),
    'training.precision = "fp16"': ("fp16", "half"),
    'training.precision = "fp8"': ("fp8", "float8"),
}

_NO_TIME = "it does not change how long a step takes; leave it out"
ADVICE: dict[str, str] = {
    **{name: f"write {what}" for what, names in _WRITE.items() for name in names},
    **dict.fromkeys(
        (
            *("gradient_accumulation_steps", "gradient_accumulation", "accumulation"),
            *("num_microbatches", "microbatches", "grad_accum"),
        ),
        "it follows: batch.global / (batch.micro * replicas)",
    ),
    **dict.fromkeys(
        ("world_size", "num_processes", "total_gpus"),
        "it follows: cluster.nodes * cluster.devices_per_node",
    ),
    **dict.fromkeys(
        (
            *("lr", "learning_rate", "weight_decay", "momentum", "beta1", "beta2"),
            *("eps", "warmup", "warmup_steps", "steps", "train_iters", "epochs"),
            *("clip_grad", "gradient_clipping", "loss_scale", "dataset", "data_path"),
        ),
        _NO_TIME,
    ),
}

VALUES: dict[str, dict[str, str]] = {
    "precision": {
        **dict.fromkeys(("bfloat16", "torch.bfloat16", "bf16_mixed"), "bf16"),
        **dict.fromkeys(("float16", "half", "torch.float16", "fp16_mixed"), "fp16"),
        **dict.fromkeys(("float32", "float", "single", "torch.float32"), "fp32"),
        **dict.fromkeys(("tensorfloat32", "tensorfloat_32"), "tf32"),
        **dict.fromkeys(("float8", "e4m3", "fp8_e4m3", "fp8_hybrid"), "fp8"),
    },
    "optimizer": dict.fromkeys(
        ("adamw", "fusedadam", "fused_adam", "adamw_torch", "adamw_torch_fused"), "adam"
    ),
    "schedule": {
        **dict.fromkeys(("interleaved1f1b", "interleaved_1f1b", "vpp"), "interleaved"),
        **dict.fromkeys(("pipedream_flush", "one_f_one_b", "dapple"), "1f1b"),
        **dict.fromkeys(("zbvzerobubble", "zbv"), "zb-v"),
        **dict.fromkeys(("zb1p", "zbh1"), "zb-h1"),
        **dict.fromkeys(("zb2p", "zbh2"), "zb-h2"),
        **dict.fromkeys(("dualpipev", "dual_pipe"), "dualpipe"),
    },
    "recompute": {
        **dict.fromkeys(("uniform", "block", "all", "true"), "full"),
        **dict.fromkeys(("false", "no", "off"), "none"),
        **dict.fromkeys(("op", "selective_op", "per_op_sac"), "operators"),
    },
    "attention": {
        **dict.fromkeys(
            ("flash_attention", "flash_attention_2", "flash_attn", "sdpa", "fused"),
            "flash",
        ),
        **dict.fromkeys(("eager", "math", "standard", "unfused"), "materialized"),
    },
    "context_method": {
        **dict.fromkeys(("p2p", "alltoall", "ring_attention"), "ring"),
        "allgather": "all-gather",
    },
    "scheme": {
        "a": "all-at-once",
        "b": "in-turn",
        "c": "in-slices",
        **dict.fromkeys(("ddp", "allreduce", "nccl", "horovod", "bsp"), "all-reduce"),
        **dict.fromkeys(("ps", "parameter_servers"), "parameter-server"),
    },
}
VALUES["gradient_precision"] = VALUES["parameter_precision"] = VALUES["precision"]


def folded(name: str) -> str:
    """Return a name as it is compared: small, without leading dashes, `_` for `-`.

    >>> folded("--Micro-Batch-Size")
    'micro_batch_size'
    """
    return name.strip().lstrip("-").lower().replace("-", "_")


_OURS: Mapping[str, str] = {name: key for key, names in KEYS.items() for name in names}


def key_of(name: str) -> str | None:
    """Return the dotted key, or the table, that others call `name`.

    >>> key_of("TP"), key_of("colour")
    ('parallelism.tensor', None)
    """
    return _OURS.get(folded(name))


def advice_on(name: str) -> str | None:
    """Return what to say of a name that no key of ours stands for."""
    return ADVICE.get(folded(name))


def value_of(key: str, value: str) -> str | None:
    """Return what others mean by a value of `key`, the last part of its dotted name.

    >>> value_of("precision", "bfloat16")
    'bf16'
    """
    return VALUES.get(key, {}).get(folded(value))
