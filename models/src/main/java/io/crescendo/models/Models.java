package io.crescendo.models;

import io.crescendo.nn.Network;
import java.util.List;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Finds networks by name. */
public final class Models {
    /** What an unknown name's error lists. */
    public static final String KNOWN =
            "fashion-cnn, wide-resnet-DEPTH-WIDTH (for example wide-resnet-16-4), resnet-50," + " inception-resnet-v2";

    /** Names that exist, one of each kind. */
    public static final List<String> EXAMPLES =
            List.of("fashion-cnn", "wide-resnet-16-4", "resnet-50", "inception-resnet-v2");

    private static final String FASHION_CNN = "fashion-cnn";
    private static final String RESNET_50 = "resnet-50";
    private static final String INCEPTION_RESNET_V2 = "inception-resnet-v2";

    private static final Pattern WIDE_RESNET = Pattern.compile("wide-resnet-(\\d{1,4})-(\\d{1,4})");

    private Models() {}

    /** Whether {@link #named} builds a network of this name. */
    public static boolean knows(String name) {
        return Set.of(FASHION_CNN, RESNET_50, INCEPTION_RESNET_V2).contains(name)
                || WIDE_RESNET.matcher(name).matches();
    }

    /**
     * The network of this name for images (channels, height, width) and this many classes.
     *
     * @throws IllegalArgumentException if there is none, or it cannot be built for such images
     */
    public static Network named(String name, int channels, int height, int width, int classes) {
        if (name.equals(FASHION_CNN)) {
            return FashionCnn.of(channels, height, width, classes);
        }
        if (name.equals(RESNET_50)) {
            return ResNet50.of(channels, height, width, classes);
        }
        if (name.equals(INCEPTION_RESNET_V2)) {
            return InceptionResNetV2.of(channels, height, width, classes);
        }
        Matcher wide = WIDE_RESNET.matcher(name);
        if (wide.matches()) {
            return WideResNet.of(
                    Integer.parseInt(wide.group(1)), Integer.parseInt(wide.group(2)), channels, height, width, classes);
        }
        throw new IllegalArgumentException("unknown model '" + name + "'; known are " + KNOWN);
    }
}
