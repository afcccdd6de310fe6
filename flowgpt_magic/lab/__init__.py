"""What the extension of JupyterLab and Notebook asks of the kernel, and the answers."""

__all__ = ["target"]
