"""Turn formats of generative families as chat templates, for their built-in processors.

They write turns as the checkpoints of a family were trained on them; the assistant's turns stand
in ``{% generation %}`` marks. ``PREFIX_SUFFIX`` also serves checkpoints, which have no template.
"""

_PARTS = """\
{%- macro parts(content) -%}
{%- if content is string -%}{{- content -}}
{%- else -%}
{%- for part in content -%}{{- IMAGE if part.type == 'image' else part.text -}}{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
"""

_CHATML = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' -}}
{%- if message.role == 'assistant' -%}
{%- generation -%}{{- parts(message.content) + '<|im_end|>' -}}{%- endgeneration -%}
{%- else -%}
{{- parts(message.content) + '<|im_end|>' -}}
{%- endif -%}
{{- '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""

_IDEFICS = """\
{{- '<|im_start|>' -}}
{%- for message in messages -%}
{{- message.role | capitalize -}}
{%- if message.role == 'assistant' -%}
{{- ':' -}}
{%- generation -%}{{- ' ' + parts(message.content) + '<end_of_utterance>' -}}{%- endgeneration -%}
{%- else -%}
{{- ':' if message.content is not string and message.content[0].type == 'image' else ': ' -}}
{{- parts(message.content) + '<end_of_utterance>' -}}
{%- endif -%}
{{- '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- 'Assistant:' -}}{%- endif -%}
"""

_GEMMA = """\
{{- bos_token -}}
{%- set ns = namespace(system='') -%}
{%- for message in messages -%}
{%- if message.role == 'system' -%}
{%- set ns.system = parts(message.content) + '\\n\\n' -%}
{%- elif message.role == 'assistant' -%}
{{- '<start_of_turn>model\\n' -}}
{%- generation -%}{{- parts(message.content) + '<end_of_turn>' -}}{%- endgeneration -%}
{{- '\\n' -}}
{%- else -%}
{{- '<start_of_turn>user\\n' + ns.system + parts(message.content) + '<end_of_turn>\\n' -}}
{%- set ns.system = '' -%}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<start_of_turn>model\\n' -}}{%- endif -%}
"""

PREFIX_SUFFIX = """\
{%- for message in messages -%}
{%- if loop.index0 > 1 or message.role != ['user', 'assistant'][loop.index0] -%}
{{- raise_exception('PaliGemma takes one question and one answer, without a system turn') -}}
{%- endif -%}
{%- if message.role == 'assistant' -%}
{{- '\\n' -}}
{%- generation -%}
{%- if message.content is string -%}{{- message.content -}}
{%- else -%}
{%- for part in message.content if part.type != 'image' -%}{{- part.text -}}{%- endfor -%}
{%- endif -%}
{{- eos_token -}}
{%- endgeneration -%}
{%- elif message.content is string -%}
{{- bos_token + message.content -}}
{%- else -%}
{%- for part in message.content if part.type == 'image' -%}{{- '<image>' -}}{%- endfor -%}
{{- bos_token -}}
{%- for part in message.content if part.type != 'image' -%}{{- part.text -}}{%- endfor -%}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '\\n' -}}{%- endif -%}
"""
"""Images first, then the beginning of the text, the question, a line break and the answer
(arXiv 2407.07726, section 3.2.3)."""


def _with_image(template: str, image: str) -> str:
    return _PARTS.replace("IMAGE", repr(image)) + template


QWEN_VL = _with_image(_CHATML, "<|vision_start|><|image_pad|><|vision_end|>")
"""Qwen2-VL and Qwen2.5-VL (arXiv 2409.12191, section 2.2.1)."""

IDEFICS = _with_image(_IDEFICS, "<image>")
"""Idefics3 and SmolVLM (arXiv 2408.12637)."""

GEMMA = _with_image(_GEMMA, "<start_of_image>")
"""Gemma 3 (arXiv 2503.19786, table 4); a system turn goes before the first question."""

INTERNVL = _with_image(_CHATML, "<IMG_CONTEXT>\n")
"""InternVL 2.5 and 3 (arXiv 2504.10479)."""
