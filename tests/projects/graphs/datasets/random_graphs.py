import torch

from . import SplitDataset


class RandomGraphs(SplitDataset):
    """Graphs of 3 to 9 nodes; the class says whether the mean of the first feature is positive."""

    num_features, num_classes = 4, 2

    def __init__(self, split: str, size: int = 60):
        generator = torch.Generator().manual_seed(["train", "val", "test"].index(split))
        self.graphs = []
        for number in range(size):
            nodes = torch.randn(3 + number % 7, 4, generator=generator)
            edges = torch.randint(len(nodes), (2, 2 * len(nodes)), generator=generator)
            self.graphs.append((nodes, edges, int(nodes[:, 0].mean() > 0)))

    def __len__(self):
        return len(self.graphs)

    def __getitem__(self, index):
        return self.graphs[index]

    def collate_fn(self, examples):
        """One large graph; `owner` says which of the graphs a node belongs to."""
        sizes = torch.tensor([len(nodes) for nodes, _, _ in examples])
        starts = (sizes.cumsum(0) - sizes).tolist()
        return {
            "nodes": torch.cat([nodes for nodes, _, _ in examples]),
            "edges": torch.cat([graph[1] + start for graph, start in zip(examples, starts)], dim=1),
            "owner": torch.arange(len(examples)).repeat_interleave(sizes),
            "targets": torch.tensor([target for _, _, target in examples]),
        }
