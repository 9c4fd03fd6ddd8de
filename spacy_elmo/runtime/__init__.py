"""The state of the process: devices, forks, memory, settings of PyTorch, distributed workers."""
