"""JATS of a planned article, as the bucket holds it."""

from itertools import groupby
from xml.sax.saxutils import escape, quoteattr

from data_gen.pipelines.pubmed.synthetic.licences import permissions
from data_gen.pipelines.pubmed.synthetic.plan import ArticlePlan

#: In which every article stands, and by which a search finds all of them.
JOURNAL = "Synthetic Journal of Imaging"
_HEAD = (
    '<!DOCTYPE article PUBLIC "-//NLM//DTD JATS (Z39.96) Journal Archiving and Interchange DTD '
    'v1.3 20210610//EN" "JATS-archivearticle1-3-mathml3.dtd">\n'
    '<article xmlns:xlink="http://www.w3.org/1999/xlink" '
    'xmlns:mml="http://www.w3.org/1998/Math/MathML" article-type="{kind}" xml:lang="en">'
    "<?properties open_access?>"
)
_TYPES = {"brain": "case-report", "organ": "case-report"}


def jats(plan: ArticlePlan, version: int) -> bytes:
    """The document of one version, in UTF-8."""
    later = f" [version {version}]" if version > 1 else ""
    words = "".join(f"<kwd>{escape(word)}</kwd>" for word in plan.keywords)
    number = plan.pmcid.removeprefix("PMC")
    front = (
        "<front><journal-meta>"
        '<journal-id journal-id-type="nlm-ta">Synth J Imaging</journal-id>'
        f"<journal-title-group><journal-title>{JOURNAL}</journal-title>"
        "</journal-title-group></journal-meta><article-meta>"
        f'<article-id pub-id-type="pmcid">PMC{number}</article-id>'
        f'<article-id pub-id-type="pmid">{50_000_000 + plan.index}</article-id>'
        f'<article-id pub-id-type="doi">{doi(plan)}</article-id>'
        f"<title-group><article-title>{escape(plan.title + later)}</article-title></title-group>"
        '<contrib-group><contrib contrib-type="author"><name><surname>Author</surname>'
        "<given-names>Synthetic</given-names></name></contrib></contrib-group>"
        f'<pub-date pub-type="epub"><day>2</day><month>3</month><year>{plan.year}</year></pub-date>'
        f"{permissions(plan.licence_code, plan.licence_form, plan.year)}"
        f"<abstract><p>{escape(plan.abstract)}</p></abstract>"
        f"<kwd-group>{words}</kwd-group></article-meta></front>"
    )
    floats = [_figure(plan, i) for i in range(len(plan.figures))]
    at_end = plan.index % 5 == 0  # some publishers put all floats behind the text
    body = ""
    sections = [
        (title, [xml for _, xml in rows])
        for title, rows in groupby(plan.paragraphs, key=lambda row: row[0])
    ]
    for n, (title, paragraphs) in enumerate(sections):
        body += f'<sec id="s{n + 1}"><title>{escape(title)}</title>'
        body += "".join(f"<p>{xml}</p>" for xml in paragraphs)
        if title == "Results" and not at_end:
            body += "".join(floats)
        body += "</sec>"
    tail = f"<floats-group>{''.join(floats)}</floats-group>" if at_end else ""
    kind = _TYPES.get(plan.kind, "research-article")
    text = f"{_HEAD.format(kind=kind)}{front}<body>{body}</body>{_back()}{tail}</article>"
    return text.encode()


def doi(plan: ArticlePlan) -> str:
    """Of an article."""
    return f"10.5555/synthetic.{plan.index:07d}"


def _back() -> str:
    return (
        '<back><ref-list><ref id="B1"><mixed-citation>Author S. A reference. 2020.'
        "</mixed-citation></ref></ref-list></back>"
    )


def _figure(plan: ArticlePlan, i: int) -> str:
    figure, shape, href = plan.figures[i], plan.shapes[i], plan.hrefs[i]
    truth = figure.truth
    graphic = f'<graphic xlink:href={quoteattr(href)} position="float"/>'
    if shape == "alternatives":
        stem = truth.graphic.rpartition(".")[0]
        small = f'<graphic content-type="thumbnail" xlink:href={quoteattr(stem + ".gif")}/>'
        graphic = f"<alternatives>{graphic}{small}</alternatives>"
    own = f" id={quoteattr(truth.id)}" if truth.id else ""
    label = f"<label>{escape(truth.label)}</label>" if truth.label else ""
    caption = f"<caption>{figure.written.xml}</caption>"
    xml = f'<fig{own} position="float">{label}{caption}{graphic}</fig>'
    return f'<fig-group id="fg{i + 1}">{xml}</fig-group>' if shape == "group" else xml
