"""The labelling interface, and the names that its results have."""

#: Names of the controls.
KIND, TEXT, FIGURE, IMAGE = "kind", "text", "figure", "image"
#: What a rectangle is.
PANEL, LABEL = "panel", "label"
#: What the figure as a whole is.
PAIRED, WHOLE, REJECTED = "panels and parts", "whole figure", "leave out"

#: To be pasted into the settings of a project (Labeling interface, Code).
INTERFACE = f"""<View>
  <Header value="$title"/>
  <View style="display: flex; gap: 16px; flex-wrap: wrap">
    <View style="flex: 3 1 480px">
      <RectangleLabels name="{KIND}" toName="{IMAGE}" canRotate="false">
        <Label value="{PANEL}" background="#39b8e8" hotkey="1"/>
        <Label value="{LABEL}" background="#ffc145" hotkey="2"/>
      </RectangleLabels>
      <Image name="{IMAGE}" value="$image" zoom="true" zoomControl="true"/>
    </View>
    <View style="flex: 2 1 320px">
      <Header size="4" value="Of a panel: the labels of its parts of the caption, with commas"/>
      <Header size="5" value="Of a label: what is printed. Relate a label to its panel, or leave it inside"/>
      <TextArea name="{TEXT}" toName="{IMAGE}" perRegion="true" editable="true" maxSubmissions="1"
        rows="1"/>
      <Choices name="{FIGURE}" toName="{IMAGE}" choice="single" required="true">
        <Choice value="{PAIRED}"/>
        <Choice value="{WHOLE}"/>
        <Choice value="{REJECTED}"/>
      </Choices>
      <Header size="4" value="Parts of the caption"/>
      <Text name="parts" value="$parts"/>
      <Header size="4" value="The whole caption"/>
      <Text name="caption" value="$caption"/>
    </View>
  </View>
</View>
"""  # noqa: E501 - the sentences are those of the page
