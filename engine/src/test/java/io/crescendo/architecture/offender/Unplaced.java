package io.crescendo.architecture.offender;

import org.jspecify.annotations.NullMarked;

/** Lies in no package of the order. */
@NullMarked
final class Unplaced {
    private Unplaced() {}
}
