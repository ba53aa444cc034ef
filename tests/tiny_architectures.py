"""A tiny configuration of each decoder family that transformers has: fields of its configuration, by name."""

from __future__ import annotations

from typing import Any

VOCABULARY = 300
LLAMA: dict[str, Any] = {
    # Large random weights: logits far apart, so that rounding does not decide which token is likeliest.
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
    "pad_token_id": 0,
}
WIDE = LLAMA | {"num_key_value_heads": 4}
FOUR_LAYERS = LLAMA | {"num_hidden_layers": 4}
EXPERTS = {"moe_intermediate_size": 24, "num_experts_per_tok": 2}
DEEPSEEK = (
    WIDE
    | EXPERTS
    | {
        "q_lora_rank": 16,
        "kv_lora_rank": 16,
        "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8,
        "v_head_dim": 8,
        "head_dim": 8,
        "n_routed_experts": 4,
        "n_shared_experts": 1,
        "first_k_dense_replace": 1,
        "n_group": 1,
        "topk_group": 1,
    }
)
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, "initializer_range": 0.3}
LINEAR = {
    "head_dim": 8,
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
}
MAMBA = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "state_size": 4,
    "initializer_range": 0.3,
    "pad_token_id": 0,
}
NO_DROPOUT = {"attention_dropout": 0.0, "hidden_dropout": 0.0}

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "afmoe": LLAMA
    | EXPERTS
    | {"head_dim": 8, "num_experts": 4, "num_shared_experts": 1, "num_dense_layers": 1},
    "apertus": LLAMA,
    "arcee": LLAMA,
    "bamba": LLAMA
    | {
        "attn_layer_indices": [1],
        "mamba_n_heads": 8,
        "mamba_d_head": 8,
        "mamba_d_state": 4,
        "mamba_chunk_size": 8,
    },
    "biogpt": LLAMA | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "bitnet": LLAMA,
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.3, "pad_token_id": 0}
    | NO_DROPOUT,
    "codegen": GPT | {"rotary_dim": 8},
    "cohere": LLAMA,
    "cohere2": LLAMA | {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]},
    "ctrl": {
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 128,
        "dff": 48,
        "initializer_range": 0.3,
    },
    "dbrx": {
        "d_model": 32,
        "n_heads": 4,
        "n_layers": 2,
        "max_seq_len": 128,
        "initializer_range": 0.3,
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8, "rope_theta": 10000.0},
        "ffn_config": {"ffn_hidden_size": 24, "moe_num_experts": 4, "moe_top_k": 2, "hidden_size": 32},
    },
    "deepseek_v2": DEEPSEEK | {"topk_method": "greedy"},
    "deepseek_v3": DEEPSEEK,
    "diffllama": LLAMA,
    "doge": LLAMA,
    "dots1": LLAMA
    | EXPERTS
    | {"n_routed_experts": 4, "n_shared_experts": 1, "head_dim": 8, "n_group": 1, "topk_group": 1},
    "ernie4_5": LLAMA,
    "ernie4_5_moe": LLAMA
    | {"moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 24, "moe_num_shared_experts": 1},
    "exaone4": LLAMA | {"sliding_window": 8, "sliding_window_pattern": 2},
    "falcon": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "initializer_range": 0.3}
    | NO_DROPOUT,
    "falcon_alibi": {
        "model_type": "falcon",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "alibi": True,
        "initializer_range": 0.3,
    }
    | NO_DROPOUT,
    "falcon_h1": LLAMA
    | {
        "mamba_n_heads": 8,
        "mamba_d_head": 8,
        "mamba_d_ssm": 64,
        "mamba_d_state": 4,
        "mamba_chunk_size": 8,
        "head_dim": 8,
    },
    "falcon_mamba": MAMBA,
    "flex_olmo": LLAMA | {"num_experts": 4, "num_experts_per_tok": 2},
    "gemma": LLAMA | {"head_dim": 8},
    "gemma2": LLAMA | {"head_dim": 8, "sliding_window": 8, "query_pre_attn_scalar": 8},
    "gemma3_text": LLAMA
    | {"head_dim": 8, "sliding_window": 8, "sliding_window_pattern": 2, "query_pre_attn_scalar": 8},
    "gemma3n_text": FOUR_LAYERS
    | {
        "intermediate_size": [48] * 4,
        "head_dim": 8,
        "sliding_window": 8,
        "vocab_size_per_layer_input": VOCABULARY,
        "hidden_size_per_layer_input": 8,
        "num_kv_shared_layers": 2,
        "altup_num_inputs": 2,
        "laurel_rank": 4,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "activation_sparsity_pattern": [0.0] * 4,
    },
    "glm": LLAMA | {"head_dim": 8},
    "glm4": LLAMA | {"head_dim": 8},
    "glm4_moe": LLAMA
    | EXPERTS
    | {
        "n_routed_experts": 4,
        "n_shared_experts": 1,
        "head_dim": 8,
        "n_group": 1,
        "topk_group": 1,
        "first_k_dense_replace": 1,
    },
    "gpt2": GPT | {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
    "gpt_bigcode": GPT | {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
    "gpt_neo": {
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 4,
        "max_position_embeddings": 128,
        "window_size": 8,
        "attention_types": [[["global", "local"], 1]],
        "initializer_range": 0.3,
    },
    "gpt_neox": WIDE,
    "gpt_oss": LLAMA
    | {"head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 8}
    | {"layer_types": ["sliding_attention", "full_attention"]},
    "gptj": GPT | {"rotary_dim": 8},
    "granite": LLAMA,
    "granitemoe": LLAMA | {"num_local_experts": 4, "num_experts_per_tok": 2},
    "granitemoehybrid": LLAMA
    | {
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "layer_types": ["mamba", "attention"],
        "shared_intermediate_size": 24,
    }
    | {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 4, "mamba_chunk_size": 8},
    "helium": LLAMA | {"head_dim": 8},
    "hunyuan_v1_dense": LLAMA | {"head_dim": 8},
    "jamba": LLAMA
    | {"num_experts": 2, "num_experts_per_tok": 1, "expert_layer_period": 2, "expert_layer_offset": 1}
    | {
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "mamba_d_state": 4,
        "mamba_dt_rank": 4,
        "use_mamba_kernels": False,
    },
    "jetmoe": LLAMA
    | {"kv_channels": 8, "num_local_experts": 4, "num_experts_per_tok": 2, "num_key_value_heads": 2},
    "lfm2": LLAMA | {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False},
    "lfm2_moe": LLAMA
    | EXPERTS
    | {"layer_types": ["conv", "full_attention"], "num_experts": 4, "num_dense_layers": 1},
    "llama": LLAMA,
    "llama_tied": LLAMA | {"model_type": "llama", "tie_word_embeddings": True},
    "llama4_text": LLAMA
    | {"head_dim": 8, "num_local_experts": 2, "intermediate_size_mlp": 48, "attention_chunk_size": 16},
    "mamba": MAMBA,
    "mamba2": MAMBA | {"num_heads": 8, "head_dim": 8, "n_groups": 1, "chunk_size": 8},
    "minimax": LLAMA
    | {"num_local_experts": 4, "num_experts_per_tok": 2, "block_size": 8, "head_dim": 8}
    | {"layer_types": ["linear_attention", "full_attention"]},
    "ministral": LLAMA | {"head_dim": 8, "sliding_window": 8},
    "mistral": LLAMA,
    "mistral_window": LLAMA | {"model_type": "mistral", "sliding_window": 8},
    "mixtral": LLAMA | {"num_local_experts": 4, "num_experts_per_tok": 2},
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 128, "initializer_range": 0.3},
    "nemotron": LLAMA,
    "olmo": LLAMA,
    "olmo2": LLAMA,
    "olmo3": FOUR_LAYERS | {"sliding_window": 8},
    "olmoe": LLAMA | {"num_experts": 4, "num_experts_per_tok": 2},
    "openai-gpt": GPT | {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
    "opt": {
        "hidden_size": 32,
        "ffn_dim": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 128,
        "word_embed_proj_dim": 32,
        "dropout": 0.0,
        "init_std": 0.3,
        "pad_token_id": 0,
    },
    "persimmon": WIDE | {"hidden_dropout": 0.0, "attention_dropout": 0.0},
    "phi": LLAMA | {"partial_rotary_factor": 0.5},
    "phi3": LLAMA,
    "phimoe": LLAMA | {"num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen2": LLAMA,
    "qwen2_moe": LLAMA | EXPERTS | {"num_experts": 4, "shared_expert_intermediate_size": 24},
    "qwen3": LLAMA | {"head_dim": 8},
    "qwen3_moe": LLAMA | EXPERTS | {"head_dim": 8, "num_experts": 4},
    "qwen3_next": LLAMA | EXPERTS | LINEAR | {"num_experts": 4, "shared_expert_intermediate_size": 24},
    "qwen3_5_text": LLAMA | LINEAR,
    "recurrent_gemma": LLAMA
    | {
        "num_hidden_layers": 3,
        "lru_width": 32,
        "attention_window_size": 16,
        "head_dim": 8,
        "num_key_value_heads": 1,
    },
    "rwkv": {"hidden_size": 32, "attention_hidden_size": 32, "num_hidden_layers": 2, "context_length": 128},
    "seed_oss": LLAMA | {"head_dim": 8},
    "smollm3": LLAMA | {"no_rope_layer_interval": 2},
    "stablelm": LLAMA,
    "starcoder2": LLAMA | {"residual_dropout": 0.0, "embedding_dropout": 0.0, "attention_dropout": 0.0},
    "xglm": {
        "d_model": 32,
        "ffn_dim": 48,
        "num_layers": 2,
        "attention_heads": 4,
        "max_position_embeddings": 128,
        "init_std": 0.3,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
        "pad_token_id": 0,
    },
    "zamba2": FOUR_LAYERS
    | {"layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"], "mamba_d_state": 4, "mamba_ngroups": 1}
    | {
        "n_mamba_heads": 8,
        "mamba_headdim": 8,
        "chunk_size": 8,
        "num_mem_blocks": 1,
        "adapter_rank": 4,
        "kv_channels": 8,
    },
}
