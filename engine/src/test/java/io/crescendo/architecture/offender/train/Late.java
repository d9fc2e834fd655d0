package io.crescendo.architecture.offender.train;

import org.jspecify.annotations.NullMarked;

/** Belongs to the last package of the order. */
@NullMarked
public final class Late {
    /** Not a constant expression: javac would copy one, and the dependency would vanish from the class file. */
    public static final String NAME = String.valueOf(Late.class);

    private Late() {}
}
