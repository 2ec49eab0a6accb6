"""perplexity and bits per character beside counting baselines, generated text"""

class_name = "LanguageReport"
files = ["evaluators/language_report.py"]
score = "test_bits_per_character"
baseline = "unigram_bits_per_character"


class eval_config:
    class evaluator_args:
        batch_size = 128  # blocks at a time: speed and memory, not results
        length = 500  # characters of generated text
        temperature = 0.8  # of the sampling; below 1 the likely characters are favoured
