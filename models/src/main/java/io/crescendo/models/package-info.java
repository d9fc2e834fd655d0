/**
 * Networks with published parameter counts.
 *
 * <p>Each is a function to a {@link io.crescendo.nn.Network}; {@link io.crescendo.models.Models} finds them by name.
 *
 * <pre>{@code
 * Network network = WideResNet.of(16, 4, 3, 32, 32, 10);
 * network.parameterCount();                       // 2,748,890
 * Network same = Models.named("wide-resnet-16-4", 3, 32, 32, 10);
 * }</pre>
 *
 * <p>Nothing here knows about devices or data; data sets live in {@code io.crescendo.models.data}.
 */
@NullMarked
package io.crescendo.models;

import org.jspecify.annotations.NullMarked;
