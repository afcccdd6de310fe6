"""The providers, which run models: one module each, all with the contract of ``base``."""

__all__ = [
    "aliases",
    "anthropic",
    "base",
    "echo",
    "flowgpt",
    "http",
    "inner_generator",
    "llama_cpp",
    "llm_models",
    "local",
    "local_servers",
    "models",
    "openai_compatible",
    "project_choice",
    "rate_limit_headers",
    "refused_parameters",
    "registry",
    "request_group",
]
