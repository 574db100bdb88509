"""ScienceQA (arXiv 2209.09513): its prompts, policies of reading, columns and result files."""
