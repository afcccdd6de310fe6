"""Who runs models: one module a provider, all with the contract of ``base``."""
