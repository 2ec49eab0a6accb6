"""evidence lower bound, reconstructions, samples"""

class_name = "ReconstructionReport"
files = ["evaluators/reconstruction_report.py"]
score = "test_elbo"
baseline = "baseline_elbo"


class eval_config:
    class evaluator_args:
        batch_size = 512  # images at a time: speed and memory, not results
        num_samples = 4  # codes that the bound is averaged over, for each image
