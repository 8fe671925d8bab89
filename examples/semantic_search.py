"""The binary quantisation of sentence-transformers with fasthash as its search: same inputs, same form of results.

Texts are the docstrings of the Python standard library. They are embedded here by hashed words and a truncated SVD, so
that nothing has to be downloaded; with a model, `embeddings = SentenceTransformer(...).encode(texts)` takes that place.
Needs scikit-learn.
"""

from __future__ import annotations

import ast
import sysconfig
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.preprocessing import normalize

import fasthash

DIMENSIONS = 256


def docstrings() -> list[str]:
    """What the standard library says of its modules, classes and functions."""
    texts = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old escapes
            tree = ast.parse(path.read_bytes())
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                texts.append(ast.get_docstring(node) or "")
    return list(dict.fromkeys(text for text in texts if len(text) > 60))


def embed(texts: list[str]) -> NDArray[np.float32]:
    """Unit vectors (texts, DIMENSIONS)."""
    words = HashingVectorizer(n_features=1 << 15, ngram_range=(1, 2), stop_words="english").transform(texts)
    vectors = TruncatedSVD(DIMENSIONS, n_iter=2, random_state=0).fit_transform(words)
    return normalize(vectors).astype(np.float32)


def semantic_search(
    query_embeddings: NDArray[np.float32],
    corpus_index: fasthash.HammingIndex,
    top_k: int = 10,
    rescore: bool = True,
    rescore_multiplier: int = 4,
) -> list[list[dict[str, Any]]]:
    """`semantic_search_faiss` of sentence-transformers: for each query a list of {"corpus_id", "score"}.

    Scores are inner products with the documents of the index, or with its codes as -1 and +1. Without rescoring they
    are Hamming distances, the smallest first, as there.
    """
    if rescore:
        scores, ids = corpus_index.search_rescored(query_embeddings, top_k, oversample=rescore_multiplier)
    else:
        scores, ids = corpus_index.search(fasthash.pack(query_embeddings), top_k)
    return [
        [{"corpus_id": int(i), "score": float(s)} for i, s in zip(*row, strict=True) if i >= 0]
        for row in zip(ids, scores, strict=True)
    ]


def recall(found: list[list[dict[str, Any]]], exact: NDArray[np.int64]) -> float:
    """The share of the exact ones that was found."""
    hits = [len({hit["corpus_id"] for hit in row} & set(best.tolist())) for row, best in zip(found, exact, strict=True)]
    return sum(hits) / exact.size


def main() -> None:
    """Print recall@10 of each way to search, against exact search of the floats."""
    texts = docstrings()
    embeddings = embed(texts)
    is_query = np.arange(len(texts)) % 20 == 0
    queries, corpus = embeddings[is_query], embeddings[~is_query]
    exact = np.argsort(-(queries @ corpus.T), axis=1, kind="stable")[:, :10]

    ubinary = np.packbits(corpus > 0, axis=-1)  # quantize_embeddings(corpus, precision="ubinary")
    binary = (ubinary.astype(np.int16) - 128).astype(np.int8)  # precision="binary"
    codes = fasthash.HammingIndex(DIMENSIONS)
    codes.add(fasthash.from_sentence_transformers(binary))
    assert (codes.codes == ubinary).all()
    with_int8 = fasthash.HammingIndex(DIMENSIONS, documents="int8")
    step = float(np.abs(corpus).max()) / 127
    with_int8.add(ubinary, documents=np.rint(corpus / step).astype(np.int8))

    print(f"{len(corpus):,} texts, {len(queries)} queries, {DIMENSIONS} bits; recall@10 against exact float search")
    print(f"Hamming only                 {recall(semantic_search(queries, codes, rescore=False), exact):.3f}")
    for name, index in (("codes", codes), ("int8 ", with_int8)):
        for multiplier in (4, 16):
            found = semantic_search(queries, index, rescore_multiplier=multiplier)
            print(f"rescored with {name}, x{multiplier:<2}     {recall(found, exact):.3f}")

    first = semantic_search(queries[:1], with_int8)[0]
    print(f"\n{np.array(texts)[is_query][0].splitlines()[0]!r} is nearest to")
    for hit in first[:3]:
        print(f"  {hit['score'] * step:.2f}  {np.array(texts)[~is_query][hit['corpus_id']].splitlines()[0]!r}")


if __name__ == "__main__":
    main()
