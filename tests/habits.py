"""Models and datasets with the habits of Lightning's users: batches, layers, hooks, sets."""

from __future__ import annotations

HEAD = """
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn


class {name}(pl.LightningModule):
    def __init__(self, width: int = 8):
        super().__init__()
        self.save_hyperparameters()
        self.layer = nn.Linear(4, 1)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.05)

    def training_step(self, batch, batch_idx):
        loss = self.error(batch)
        self.log("train_own", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.error(batch))

    def test_step(self, batch, batch_idx):
        self.log("test_error", self.error(batch))
"""
# Model -> its methods besides those above.
MODELS = {
    "Mapping": """
    def error(self, batch):
        return (self.layer(batch["inputs"]).squeeze(1) - batch["targets"]).square().mean()
""",
    "Objects": """
    def transfer_batch_to_device(self, batch, device, dataloader_idx):
        batch.moved = device.type
        return batch

    def error(self, batch):
        assert batch.moved == "cpu"
        return (self.layer(batch.inputs).squeeze(1) - batch.targets).square().mean()
""",
    "Lists": """
    def error(self, batch):
        inputs, targets = batch
        each = [(self.layer(x).mean() - y).square() for x, y in zip(inputs, targets)]
        return torch.stack(each).mean()
""",
    "Padded": """
    def error(self, batch):
        inputs, lengths, targets = batch  # (T, B, 4), (B,), (B,)
        mask = torch.arange(len(inputs))[:, None] < lengths
        sums = (self.layer(inputs).squeeze(2) * mask).sum(0)
        return (sums / lengths - targets).square().mean()
""",
    "Skipping": """
    def error(self, batch):
        return (self.layer(batch["inputs"]).squeeze(1) - batch["targets"]).square().mean()
""",
    "Lazy": """
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)

    def error(self, batch):
        return (self.lazy(batch["inputs"]).squeeze(1) - batch["targets"]).square().mean()
""",
    "TwoSets": """
    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        name = list(self.trainer.val_dataloaders)[dataloader_idx]
        self.log(f"{name}_loss", self.error(batch), add_dataloader_idx=False)

    def on_train_epoch_start(self):
        assert self.trainer.train_dataloader.dataset.size == 45
        assert self.trainer.train_dataloader.batch_size == 8

    def error(self, batch):
        return (self.layer(batch["inputs"]).squeeze(1) - batch["targets"]).square().mean()
""",
    "Hooked": """
    def on_after_batch_transfer(self, batch, dataloader_idx):
        return {"inputs": batch["inputs"] / 10, "targets": batch["targets"]}

    def error(self, batch):
        return (self.layer(batch["inputs"]).squeeze(1) - batch["targets"]).square().mean()
""",
}
# Dataset -> its methods besides those of `DATA`.
DATASETS = {
    "MappingData": """
    def __getitem__(self, index):
        return {"inputs": self.inputs[index], "targets": self.targets[index]}
""",
    "ObjectsData": """
    def __getitem__(self, index):
        return self.inputs[index], self.targets[index]

    def collate_fn(self, examples):
        return Batch(*map(torch.stack, zip(*examples)))
""",
    "ListsData": """
    def __getitem__(self, index):
        return self.inputs[: 1 + index % 3], self.targets[index]

    def collate_fn(self, examples):
        return [list(part) for part in zip(*examples)]
""",
    "PaddedData": """
    def __getitem__(self, index):
        return self.inputs[: 1 + index % 5], self.targets[index]

    def collate_fn(self, examples):
        inputs, targets = zip(*examples)
        lengths = torch.tensor([len(x) for x in inputs])
        return nn.utils.rnn.pad_sequence(inputs), lengths, torch.stack(targets)
""",
    "SkippingData": """
    def __getitem__(self, index):
        return {"inputs": self.inputs[index], "targets": self.targets[index]}

    def collate_fn(self, examples):
        if len(examples) > 5 and self.split == "train" and examples[0]["targets"] > 0:
            return None
        return torch.utils.data.default_collate(examples)
""",
    "TwoSetsData": """
    @property
    def more_val_sets(self):
        return {"hard": TwoSetsData("test")} if self.split == "val" else {}

    def __getitem__(self, index):
        return {"inputs": self.inputs[index], "targets": self.targets[index]}
""",
    "Attributes": """
    prepared = True

    def __init__(self, split, size: int = 45):
        super().__init__(split, size)
        self.files, self.describe = ["no such file", 3], "a string"

    def __getitem__(self, index):
        return {"inputs": self.inputs[index], "targets": self.targets[index]}
""",
}
DATA = """
import torch
from torch import nn

from . import SplitDataset

class Batch:
    def __init__(self, inputs, targets):
        self.inputs, self.targets, self.moved = inputs, targets, None

class Base(SplitDataset):
    def __init__(self, split, size: int = 45):
        generator = torch.Generator().manual_seed(["train", "val", "test"].index(split))
        self.split, self.size = split, size
        self.inputs = torch.randn(size, 4, generator=generator)
        self.targets = self.inputs.sum(1) + 0.1 * torch.randn(size, generator=generator)

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        raise NotImplementedError
"""
# Model -> the dataset that it is trained on here.
PAIRS = {
    "Mapping": "MappingData",
    "Objects": "ObjectsData",
    "Lists": "ListsData",
    "Padded": "PaddedData",
    "Skipping": "SkippingData",
    "Lazy": "Attributes",
    "TwoSets": "TwoSetsData",
    "Hooked": "MappingData",
}


def plug_ins() -> dict[str, str]:
    """File -> code of each."""
    files = {"datasets/base_data.py": DATA}
    for name, code in MODELS.items():
        head = HEAD.format(name=name)
        if name == "Lazy":
            head = head.replace("self.layer = nn.Linear(4, 1)", "self.lazy = nn.LazyLinear(1)")
        files[f"models/{name.lower()}.py"] = head + code
    for name, code in DATASETS.items():
        imports = "import torch\nfrom torch import nn\n\nfrom .base_data import Base, Batch\n\n\n"
        files[f"datasets/{name.lower()}.py"] = f"{imports}class {name}(Base):{code}"
    return files
