/**
 * Named tensors in a file, in the safetensors layout that Python's tools read too.
 *
 * <p>A file is the length of its header (8 bytes, little-endian), the header (a JSON object that gives each tensor's
 * type, shape and place, and free texts under {@code __metadata__}), and the tensors' numbers, little-endian,
 * row-major, without gaps. {@link io.crescendo.safetensors.SafetensorsWriter} makes a file appear at once and whole, or
 * not at all; {@link io.crescendo.safetensors.SafetensorsFile} believes nothing in a header that it has not checked.
 *
 * <p>A file written here carries a checksum of all its bytes as one of its texts, which other readers ignore. What the
 * tensors are is the caller's business.
 *
 * <pre>{@code
 * List<TensorEntry> layout = List.of(new TensorEntry("dense.weight", DType.FLOAT32, Shape.of(10, 64)));
 * try (SafetensorsWriter writer = SafetensorsWriter.create(path, Map.of("epoch", "3"), layout)) {
 *     writer.append(weights);                        // float[640]
 *     writer.commit();                               // now the file is there
 * }
 * try (SafetensorsFile file = SafetensorsFile.open(path)) {
 *     file.read("dense.weight", weights);
 * }
 * }</pre>
 *
 * <p>Source: the format of https://github.com/huggingface/safetensors.
 */
@NullMarked
package io.crescendo.safetensors;

import org.jspecify.annotations.NullMarked;
