"""A provider for flowgpt_magic that says everything louder."""

from flowgpt_magic import AsyncGeneratorProvider, ProviderModelMixin


class Shout(AsyncGeneratorProvider, ProviderModelMixin):
    default_model = "loud"
    models = ["loud", "louder"]

    @classmethod
    async def create_async_generator(cls, model, messages, proxy=None, temperature=0.7, **kwargs):
        ending = {"loud": "", "louder": "!"}[cls.get_model(model)]
        for word in messages[-1]["content"].upper().split():
            yield f"{word}{ending} "
